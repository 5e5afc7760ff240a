/* libimpasto: paint with a bundle that `impasto bundle` wrote, on the ONNX Runtime of the host.
 *
 * Threads. An impasto_bundle does not change after it was opened: any number of threads may use it. An impasto_render
 * belongs to one thread at a time; impasto_cancel and impasto_progress_of may be called by any thread meanwhile.
 * Nothing is global except ONNX Runtime itself, which is loaded once for the process and never unloaded.
 *
 * Memory. What a function returns through an out-parameter belongs to the caller, who frees it with the function of its
 * type. Freeing NULL does nothing. Strings that functions return belong to the object that they were asked of. The
 * library keeps no pointer that it is given, and frees nothing that it has not made.
 *
 * Errors. A function that can fail returns an impasto_code and takes an `impasto_error **`, which may be NULL. After
 * IMPASTO_OK and IMPASTO_STOPPED it is not written; after any other code it holds a new error, which the caller frees.
 * No C++ exception leaves the library, and none may leave a callback.
 *
 * Structs begin with `struct_size`, which the caller sets to sizeof of the struct. Later versions of the library add
 * members at the end. The library and a caller of another version use the members that both know: those that an older
 * caller's struct lacks count as 0 and are not written, and those that an older library does not know are neither read
 * nor written. A struct that is shorter than in version 1 of the interface is IMPASTO_BAD_ARGUMENT.
 *
 * Images are RGB in sRGB encoding. Sizes are in pixels, strides in bytes. */
#ifndef IMPASTO_H
#define IMPASTO_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#  define IMPASTO_API
#elif defined(__GNUC__)
#  define IMPASTO_API __attribute__((visibility("default")))
#else
#  define IMPASTO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The interface's own version: it changes when a program has to be compiled again. */
#define IMPASTO_ABI_VERSION 1u

typedef struct impasto_bundle impasto_bundle;
typedef struct impasto_render impasto_render;
typedef struct impasto_error impasto_error;

typedef enum impasto_code {
    IMPASTO_OK = 0,
    IMPASTO_STOPPED = 1,        /* a run was cancelled, or its callback returned a value other than 0; no error */
    IMPASTO_BAD_ARGUMENT = 2,   /* a value is out of range, or a function was called too early */
    IMPASTO_BAD_BUNDLE = 3,     /* a file is missing, damaged, or of another format */
    IMPASTO_NO_RUNTIME = 4,     /* ONNX Runtime was not found, or is too old */
    IMPASTO_RUNTIME_FAILED = 5, /* ONNX Runtime refused a graph or a provider, or a run of it failed */
    IMPASTO_NO_MEMORY = 6,
    IMPASTO_INTERNAL = 7
} impasto_code;

typedef enum impasto_format {
    IMPASTO_U8 = 0, /* uint8_t, 0 to 255 */
    IMPASTO_F32 = 1 /* float, 0 to 1; other values are clipped when they are read */
} impasto_format;

/* An image in the caller's memory, rows from top to bottom, channels interleaved. */
typedef struct impasto_image {
    size_t struct_size;
    void *data;          /* not written where the image is an input */
    uint32_t width;      /* px, 1 to 65536 */
    uint32_t height;     /* px, 1 to 65536 */
    size_t row_stride;   /* bytes from one row to the next; 0 is rows without gaps */
    uint32_t channels;   /* 3 for RGB, 4 for RGBA: alpha is not read, and is written as opaque */
    uint32_t format;     /* an impasto_format */
} impasto_image;

typedef struct impasto_open_options {
    size_t struct_size;
    const char *runtime;   /* path of ONNX Runtime's library. NULL: the environment variable IMPASTO_ONNXRUNTIME, one that
                              the process has loaded, libonnxruntime.so, one in the Python environment in use */
    uint32_t skip_hashes;  /* other than 0: do not compare the files with their SHA-256; sizes are compared still */
} impasto_open_options;

typedef struct impasto_bundle_info {
    size_t struct_size;
    uint32_t results;         /* how many sizes of results there are; their numbers begin at 0 */
    uint32_t styles;          /* how many styles there are; their numbers begin at 0 */
    const char *network;
    const char *licence;      /* of the network's weights */
    const char *attribution;  /* the authors to name */
    const char *runtime;      /* version of the ONNX Runtime in use, such as "1.31.1" */
    const char *runtime_path; /* its file; "" if the process had loaded it already and its name is not known */
} impasto_bundle_info;

typedef struct impasto_result_info {
    size_t struct_size;
    uint32_t width;
    uint32_t height;
    uint32_t scales; /* sizes that a run goes through, from coarse to fine */
} impasto_result_info;

typedef struct impasto_render_options {
    size_t struct_size;
    uint32_t result;       /* number of the result in the bundle */
    uint32_t evaluations;  /* of loss and gradient in all, 2 or more; 0 is 300. Scales share them */
    uint32_t threads;      /* CPU threads; 0 is one per core */
    uint64_t seed;         /* of the noise, where runs start from noise */
    const char *provider;  /* of the loss and gradient: "cpu" (NULL is the same), "cuda", "tensorrt" */
} impasto_render_options;

typedef enum impasto_state {
    IMPASTO_EMPTY = 0,    /* content or style is missing */
    IMPASTO_READY = 1,    /* it can run, or go on */
    IMPASTO_DONE = 2,     /* all evaluations are used */
    IMPASTO_CONVERGED = 3 /* the optimiser finds no better image, or a value is not finite */
} impasto_state;

typedef struct impasto_progress {
    size_t struct_size;
    uint32_t state;        /* an impasto_state */
    uint32_t evaluations;  /* so far */
    uint32_t total;        /* evaluations in all */
    uint32_t iterations;   /* accepted steps so far, of all scales */
    uint32_t scale;        /* number of the scale, from 1 */
    uint32_t scales;
    uint32_t width;        /* of the image at the scale */
    uint32_t height;
    double loss;           /* of the latest accepted image; 0 before the first evaluation. No unit */
} impasto_progress;

/* Called after every evaluation, by the thread that runs. A value other than 0 ends the run with IMPASTO_STOPPED; the
 * render can go on later. The callback may call impasto_image_of, impasto_progress_of and impasto_cancel of this
 * render, and no other function of it. `progress` is valid during the call. */
typedef int (*impasto_callback)(const impasto_progress *progress, void *user);

/* Return the version of the library, such as "0.2.0"; static. Any thread. */
IMPASTO_API const char *impasto_version(void);

/* Return the IMPASTO_ABI_VERSION that the library was built with. Any thread. */
IMPASTO_API uint32_t impasto_abi_version(void);

/* Return an error's sentence, in UTF-8; it belongs to the error. "" for NULL. */
IMPASTO_API const char *impasto_error_message(const impasto_error *error);

/* Free an error. */
IMPASTO_API void impasto_error_free(impasto_error *error);

/* Open the bundle in a folder: read its manifest, compare its files with their hashes, and load ONNX Runtime.
 * `options` may be NULL. *bundle belongs to the caller; it is NULL after an error.
 * Errors: IMPASTO_BAD_BUNDLE with the file's name, IMPASTO_NO_RUNTIME, IMPASTO_BAD_ARGUMENT. Any thread.
 * Sets the environment variable ORT_DISABLE_TELEMETRY to 1, unless it is set, before it loads ONNX Runtime. */
IMPASTO_API impasto_code impasto_bundle_open(const char *folder, const impasto_open_options *options,
                                             impasto_bundle **bundle, impasto_error **error);

/* Free a bundle. Its renders stay usable: they share what they need of it. */
IMPASTO_API void impasto_bundle_free(impasto_bundle *bundle);

/* Fill in *info, whose strings belong to the bundle. */
IMPASTO_API impasto_code impasto_bundle_describe(const impasto_bundle *bundle, impasto_bundle_info *info,
                                                 impasto_error **error);

/* Fill in *info of a result. Errors: IMPASTO_BAD_ARGUMENT for a number that the bundle lacks. */
IMPASTO_API impasto_code impasto_bundle_result(const impasto_bundle *bundle, uint32_t result, impasto_result_info *info,
                                               impasto_error **error);

/* Return the name of a style, which belongs to the bundle; NULL for a number that the bundle lacks. */
IMPASTO_API const char *impasto_bundle_style(const impasto_bundle *bundle, uint32_t style);

/* Make a render. `options` may be NULL: the first result on the CPU. *render belongs to the caller; it is NULL after an
 * error. Graphs are opened when they are first needed. */
IMPASTO_API impasto_code impasto_render_new(const impasto_bundle *bundle, const impasto_render_options *options,
                                            impasto_render **render, impasto_error **error);

/* Free a render. No other thread may be in a function of it. */
IMPASTO_API void impasto_render_free(impasto_render *render);

/* Take the content image, of any size: it is brought to the size of the result by a Lanczos filter of three lobes, with
 * other proportions if it has others. The render begins anew. */
IMPASTO_API impasto_code impasto_set_content(impasto_render *render, const impasto_image *image, impasto_error **error);

/* Take a style image, of any size: it is brought to the long side that the bundle gives, and keeps its proportions. The
 * render begins anew. */
IMPASTO_API impasto_code impasto_set_style(impasto_render *render, const impasto_image *image, impasto_error **error);

/* Take a style of the bundle by its name. The render begins anew. Errors: IMPASTO_BAD_ARGUMENT for an unknown name. */
IMPASTO_API impasto_code impasto_set_style_targets(impasto_render *render, const char *name, impasto_error **error);

/* Evaluate and step up to `evaluations` times; 0 is until the end. `callback` may be NULL. Call it again to go on: a run
 * in parts gives the same bits as one run, also after a cancel.
 * Returns IMPASTO_OK when so many are done or the render has ended, IMPASTO_STOPPED, or an error, after which the image
 * is that of the latest accepted step. */
IMPASTO_API impasto_code impasto_run(impasto_render *render, uint32_t evaluations, impasto_callback callback, void *user,
                                     impasto_error **error);

/* Write the latest accepted image into the caller's memory, at the size of `image`: by a Lanczos filter where that is not
 * the size of the scale. Before the first run it is the content image. */
IMPASTO_API impasto_code impasto_image_of(const impasto_render *render, const impasto_image *image,
                                          impasto_error **error);

/* Fill in *progress. Any thread. */
IMPASTO_API impasto_code impasto_progress_of(const impasto_render *render, impasto_progress *progress,
                                             impasto_error **error);

/* End the run that is under way, or the next one if there is none: it returns IMPASTO_STOPPED, within one operator of the
 * graph; while graphs are opened, after that. Any thread; does not wait. The render must not be freed meanwhile. */
IMPASTO_API void impasto_cancel(impasto_render *render);

#ifdef __cplusplus
}
#endif
#endif
