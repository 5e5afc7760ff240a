/* A machine with one GPU that is none: enough of NVIDIA's driver and libraries for ONNX Runtime to make sessions,
 * place their nodes, and capture and replay graphs. Device memory is host memory, copies are copies, kernels do
 * nothing. Whatever is not here is generated: a function that returns 0, which is success in all of these libraries.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { COMPUTE_MAJOR = 75, MULTIPROCESSORS = 16, TO_HOST = 2, DESCRIPTORS = 15 };
static const size_t FREE = (size_t)60 << 30, TOTAL = (size_t)80 << 30;

/* What tests ask for: graphs replayed, kernels started by themselves, bytes copied to the host; and how often something
 * followed a replay on another stream, or a copy to the host did, before anyone had waited for it. */
static long launches, kernels, bytes_to_host, races;
static void *unfinished; /* the stream of a replay that nobody has waited for */
long fake_races(void) { return races; }
long fake_launches(void) { return launches; }
long fake_kernels(void) { return kernels; }
long fake_bytes_to_host(void) { return bytes_to_host; }

/* What tests set: the largest piece of memory that there is, and whether nothing can be captured. */
static size_t largest(void) {
    const char *set = getenv("FAKE_LARGEST");
    return set ? strtoul(set, NULL, 10) : (size_t)-1;
}
static size_t left(void) {
    const char *set = getenv("FAKE_FREE");
    return set ? strtoul(set, NULL, 10) : FREE;
}
static int captures(void) { return getenv("FAKE_NO_CAPTURE") ? 900 : 0; }

static int take(void **result, size_t size) {
    *result = size <= largest() ? aligned_alloc(256, (size + 511) / 256 * 256) : NULL;
    if (*result) memset(*result, 0, size);
    return *result ? 0 : 2;
}
static int handle(void **result) { return take(result, 256); }
static int copy(void *to, const void *from, size_t size, int kind) {
    if (kind == TO_HOST) bytes_to_host += (long)size, races += unfinished != NULL;
    memcpy(to, from, size);
    return 0;
}

/* The driver */
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDeviceGetName(char *name, int size, int device) { return strncpy(name, "NVIDIA Fake", (size_t)size), 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { return *value = which == COMPUTE_MAJOR ? 9 : 0, 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return handle(context); }
int cuMemGetInfo_v2(size_t *free, size_t *total) { return *free = left(), *total = TOTAL, 0; }

/* The runtime */
int cudaGetDeviceCount(int *count) { return *count = 1, 0; }
int cudaGetDevice(int *device) { return *device = 0, 0; }
int cudaDriverGetVersion(int *version) { return *version = 13000, 0; }
int cudaRuntimeGetVersion(int *version) { return *version = 13000, 0; }
int cudaGetDeviceProperties(char *properties, int device) { return memset(properties, 0, 1008), 0; }
int cudaDeviceGetAttribute(int *value, int which, int device) {
    *value = which == COMPUTE_MAJOR ? 9 : which == COMPUTE_MAJOR + 1 ? 0 : which == MULTIPROCESSORS ? 132 : 2048;
    return 0;
}
int cudaMemGetInfo(size_t *free, size_t *total) { return *free = FREE, *total = TOTAL, 0; }
const char *cudaGetErrorName(int error) { return "fake"; }
const char *cudaGetErrorString(int error) { return "fake"; }
int cudaMalloc(void **result, size_t size) { return take(result, size); }
int cudaMallocHost(void **result, size_t size) { return take(result, size); }
int cudaHostAlloc(void **result, size_t size, unsigned flags) { return take(result, size); }
int cudaFree(void *memory) { return free(memory), 0; }
int cudaFreeHost(void *memory) { return free(memory), 0; }
int cudaMemset(void *memory, int value, size_t size) { return memset(memory, value, size), 0; }
int cudaMemsetAsync(void *memory, int value, size_t size, void *stream) { return memset(memory, value, size), 0; }
int cudaMemcpy(void *to, const void *from, size_t size, int kind) { return copy(to, from, size, kind); }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) { return copy(to, from, size, kind); }
int cudaStreamCreate(void **stream) { return handle(stream); }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return handle(stream); }
int cudaStreamBeginCapture(void *stream, int mode) { return captures(); }
int cudaStreamIsCapturing(void *stream, int *status) { return *status = 0, 0; }
int cudaStreamEndCapture(void *stream, void **graph) { return handle(graph); }
int cudaEventCreate(void **event) { return handle(event); }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return handle(event); }
int cudaGraphInstantiate(void **executable) { return handle(executable); }
int cudaGraphLaunch(void *executable, void *stream) {
    ++launches, races += unfinished != NULL && unfinished != stream;
    return unfinished = stream, 0;
}
int cudaStreamSynchronize(void *stream) { return unfinished = unfinished == stream ? NULL : unfinished, 0; }
int cudaDeviceSynchronize(void) { return unfinished = NULL, 0; }

int cudaLaunchKernel(void) { return ++kernels, 0; }
int __cudaLaunchKernel(void) { return ++kernels, 0; }
int cudaLaunchKernelExC(void) { return ++kernels, 0; }

/* cuBLAS and cuDNN */
int cublasCreate_v2(void **result) { return handle(result); }
int cublasLtCreate(void **result) { return handle(result); }
int cublasGetMathMode(void *blas, int *mode) { return *mode = 0, 0; }
int cudnnCreate(void **result) { return handle(result); }
size_t cudnnGetVersion(void) { return 91000; }
const char *cudnnGetErrorString(int error) { return "fake"; }
int cudnnBackendCreateDescriptor(int kind, void **result) { return handle(result); }
/* One of everything that is asked for: one engine, whose configuration is all zeros. */
int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t wanted, int64_t *count, void *values) {
    if (count) *count = 1;
    if (values && type != DESCRIPTORS && wanted > 0) memset(values, 0, 8);
    return 0;
}
#define HANDLE(name) int name(void **result) { return handle(result); }
HANDLE(cudnnCreateActivationDescriptor) HANDLE(cudnnCreateConvolutionDescriptor) HANDLE(cudnnCreateDropoutDescriptor)
HANDLE(cudnnCreateFilterDescriptor) HANDLE(cudnnCreatePoolingDescriptor) HANDLE(cudnnCreateReduceTensorDescriptor)
HANDLE(cudnnCreateTensorDescriptor)
#define BYTES(name) int name(void *a, void *b, void *c, void *d, size_t *size) { return *size = 16, 0; }
BYTES(cudnnGetReductionIndicesSize) BYTES(cudnnGetReductionWorkspaceSize)
