// Paint a cv::Mat in the style of another: impasto-opencv DIR CONTENT STYLE OUT
#include <iostream>
#include <opencv2/imgcodecs.hpp>

#include "impasto/impasto.hpp"

// A cv::Mat of RGB bytes as an image; its rows may have gaps.
static impasto_image view(cv::Mat& rgb) {
    return impasto::image(impasto::Span<std::uint8_t>(rgb.data, rgb.dataend - rgb.data),
                              static_cast<std::uint32_t>(rgb.cols), static_cast<std::uint32_t>(rgb.rows), 3, rgb.step);
}

int main(int count, char** words) try {
    if (count != 5) throw std::runtime_error("usage: impasto-opencv DIR CONTENT STYLE OUT");
    cv::Mat images[] = {cv::imread(words[2], cv::IMREAD_COLOR), cv::imread(words[3], cv::IMREAD_COLOR)};
    for (cv::Mat& image : images) {
        if (image.empty()) throw std::runtime_error("cannot read an image");
        for (cv::Vec3b& pixel : cv::Mat_<cv::Vec3b>(image)) std::swap(pixel[0], pixel[2]);  // OpenCV has BGR
    }
    const impasto::Bundle bundle(words[1]);
    impasto::Render render(bundle);
    render.set_content(view(images[0]));
    render.set_style(view(images[1]));
    render.run();
    cv::Mat painted(static_cast<int>(bundle.result().height), static_cast<int>(bundle.result().width), CV_8UC3);
    render.image(view(painted));
    for (cv::Vec3b& pixel : cv::Mat_<cv::Vec3b>(painted)) std::swap(pixel[0], pixel[2]);
    return cv::imwrite(words[4], painted) ? 0 : 2;
} catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 2;
}
