#include "files.hpp"

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

#include <jpeglib.h>
#include <png.h>

namespace {

struct JpegFailure {
    jpeg_error_mgr manager;
    std::jmp_buf place;
};

[[noreturn]] void jpeg_failed(j_common_ptr info) { std::longjmp(reinterpret_cast<JpegFailure*>(info->err)->place, 1); }

void jpeg_quiet(j_common_ptr, int) {}

// Plain C inside: longjmp must not pass objects with destructors.
bool decode_jpeg(const std::uint8_t* bytes, std::size_t size, Pixels* pixels) {
    jpeg_decompress_struct info;
    JpegFailure failure;
    std::memset(&info, 0, sizeof info);
    info.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = jpeg_failed;
    failure.manager.emit_message = jpeg_quiet;
    if (setjmp(failure.place) != 0) {
        jpeg_destroy_decompress(&info);
        return false;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, const_cast<std::uint8_t*>(bytes), size);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    pixels->width = info.output_width;
    pixels->height = info.output_height;
    pixels->samples.resize(std::size_t{3} * pixels->width * pixels->height);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = pixels->samples.data() + std::size_t{3} * pixels->width * info.output_scanline;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return true;
}

bool decode_png(const std::uint8_t* bytes, std::size_t size, Pixels* pixels) {
    png_image image;
    std::memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    if (png_image_begin_read_from_memory(&image, bytes, size) == 0) return false;
    image.format = PNG_FORMAT_RGB;
    pixels->width = image.width;
    pixels->height = image.height;
    pixels->samples.resize(PNG_IMAGE_SIZE(image));
    const png_color white = {255, 255, 255};  // behind transparent pixels
    return png_image_finish_read(&image, &white, pixels->samples.data(), 0, nullptr) != 0;
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

}  // namespace

Pixels read_pixels(const std::string& path) {
    const File file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::vector<std::uint8_t> bytes;
    std::uint8_t buffer[1 << 14];
    while (const std::size_t read = std::fread(buffer, 1, sizeof buffer, file.get())) bytes.insert(bytes.end(), buffer, buffer + read);
    const bool is_png = bytes.size() > 8 && png_sig_cmp(bytes.data(), 0, 8) == 0;
    const bool is_jpeg = bytes.size() > 3 && bytes[0] == 0xFF && bytes[1] == 0xD8;
    Pixels pixels;
    if (is_png ? !decode_png(bytes.data(), bytes.size(), &pixels) : !is_jpeg || !decode_jpeg(bytes.data(), bytes.size(), &pixels))
        throw std::runtime_error("cannot read " + path + ": it is no PNG or JPEG file, or is damaged");
    return pixels;
}

void write_png(const std::string& path, const Pixels& pixels) {
    png_image image;
    std::memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.width = pixels.width;
    image.height = pixels.height;
    image.format = PNG_FORMAT_RGB;
    const std::string part = path + ".part";
    if (png_image_write_to_file(&image, part.c_str(), 0, pixels.samples.data(), 0, nullptr) == 0 ||
        std::rename(part.c_str(), path.c_str()) != 0) {
        std::remove(part.c_str());
        throw std::runtime_error("cannot write " + path);
    }
}
