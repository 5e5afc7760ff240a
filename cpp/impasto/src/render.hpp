// A picture under way: its images, its scales, and how far it is.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "loop.hpp"

namespace impasto_core {

class Render {
public:
    // The options are complete. Throws Failure where one is out of range.
    Render(std::shared_ptr<const Bundle> bundle, const impasto_render_options& options);

    void set_content(const impasto_image& image);
    void set_style(const impasto_image& image);
    void set_style(const std::string& name);
    impasto_code run(std::uint32_t evaluations, impasto_callback callback, void* user);
    void image(const impasto_image& target) const;
    impasto_progress progress() const;
    void cancel() { termination_.request(); }

private:
    class Busy;

    impasto_code advance(std::uint32_t evaluations, impasto_callback callback, void* user);
    void restart();
    void prepare();
    void next_scale();
    std::unique_ptr<Loop> opened(std::size_t number);
    Targets targets_at(const ScaleEntry& scale);
    void add_style_targets(const ScaleEntry& scale, const std::vector<std::string>& names, Targets& found);
    Planes content_at(const ScaleEntry& scale) const;
    Planes style_at(unsigned step) const;
    Planes scaled(const Planes& planes, std::size_t width, std::size_t height, Filter filter) const;
    std::vector<std::vector<float>> features(const Planes& planes, const std::vector<std::string>& names);
    Planes start(const ScaleEntry& scale) const;
    void record(const Row& row);

    std::shared_ptr<const Bundle> bundle_;
    impasto_render_options options_;
    std::string provider_;
    const ResultEntry& result_;
    std::vector<const ScaleEntry*> scales_;
    std::vector<std::uint32_t> ends_;  // evaluations after which the next scale begins
    std::optional<Planes> content_, painting_;
    const StyleEntry* style_ = nullptr;
    std::unique_ptr<Session> targets_;
    std::unique_ptr<Loop> loop_;
    std::size_t scale_ = 0;
    bool scale_pending_ = false;  // the next scale begins before the next evaluation
    std::uint32_t evaluations_before_ = 0, iterations_before_ = 0;
    Termination termination_;
    std::atomic<bool> busy_{false};
    mutable std::mutex mutex_;
    impasto_progress progress_{};
};

}  // namespace impasto_core
