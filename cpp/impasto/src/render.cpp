#include "render.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "failure.hpp"
#include "square_root.hpp"

namespace impasto_core {
namespace {

constexpr std::uint32_t kDefaultEvaluations = 300, kMostEvaluations = 1000000;
constexpr std::uint32_t kLeastOfAScale = 2;
constexpr std::size_t kSeamlessStep = 16;
constexpr int kNonFiniteStart = 4;
// Noise with the mean and standard deviation of photographs, as engine/inputs/pictures.py; its values are others.
constexpr float kNoiseMean[] = {0.485F, 0.456F, 0.406F};
constexpr float kNoiseDeviation = 0.227F;

std::size_t tileable(std::size_t side, std::size_t least) {
    return std::max((2 * side + kSeamlessStep) / (2 * kSeamlessStep) * kSeamlessStep, least);
}

// A cancel that came while targets were computed; the next run computes them again.
struct Stopped {};

std::size_t reduced(std::size_t side, unsigned step) {
    return static_cast<std::size_t>(std::nearbyint(static_cast<double>(side) / std::pow(std::sqrt(2.0), step)));
}

}  // namespace

// Refuses a second call of a function that changes the render, from a callback or another thread.
class Render::Busy {
public:
    explicit Busy(Render& render) : render_(render) {
        if (render_.busy_.exchange(true)) bad_argument("the render is in use by another call: wait until that has returned");
    }
    ~Busy() { render_.busy_ = false; }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

private:
    Render& render_;
};

Render::Render(std::shared_ptr<const Bundle> bundle, const impasto_render_options& options)
    : bundle_(std::move(bundle)),
      options_(options),
      provider_(options.provider == nullptr || *options.provider == '\0' ? "cpu" : options.provider),
      result_(bundle_->manifest.results.at(options.result < bundle_->manifest.results.size() ? options.result : 0)),
      termination_(*bundle_->runtime) {
    const auto results = bundle_->manifest.results.size();
    if (options.result >= results)
        bad_argument("no result " + std::to_string(options.result) + ": the bundle has " + std::to_string(results));
    if (provider_ != "cpu" && provider_ != "cuda" && provider_ != "tensorrt")
        bad_argument("unknown provider " + provider_ + ": allowed are cpu, cuda and tensorrt");
    if (options_.evaluations == 0) options_.evaluations = kDefaultEvaluations;
    if (options_.evaluations < kLeastOfAScale || options_.evaluations > kMostEvaluations)
        bad_argument("bad evaluations " + std::to_string(options_.evaluations) + ": allowed are 2 to 1000000");
    const std::uint32_t total = options_.evaluations;
    const std::size_t count = std::min<std::size_t>(result_.scales.size(), total / kLeastOfAScale);
    for (std::size_t i = result_.scales.size() - count; i < result_.scales.size(); ++i) scales_.push_back(&result_.scales[i]);
    // As impasto.engine.inputs.scales: a scale has `coarser_share` times the evaluations of the next finer one.
    std::vector<double> shares;
    double sum = 0, part = 0;
    for (std::size_t i = 0; i < count; ++i) shares.push_back(std::pow(bundle_->manifest.coarser_share, count - 1 - i));
    for (const double share : shares) sum += share;
    const double rest = std::max(0.0, static_cast<double>(total) - static_cast<double>(kLeastOfAScale * count));
    for (std::size_t i = 0; i < count; ++i) {
        part += shares[i];
        const double end = static_cast<double>(kLeastOfAScale * (i + 1)) + std::nearbyint(rest * part / sum);
        ends_.push_back(i + 1 == count ? total : std::min(static_cast<std::uint32_t>(end), total));
    }
    restart();
}

void Render::restart() {
    loop_.reset();
    scale_pending_ = false;
    scale_ = 0;
    evaluations_before_ = iterations_before_ = 0;
    const std::lock_guard<std::mutex> lock(mutex_);
    progress_ = impasto_progress{};
    progress_.struct_size = sizeof(impasto_progress);
    progress_.state = content_ && (painting_ || style_ != nullptr) ? IMPASTO_READY : IMPASTO_EMPTY;
    progress_.total = options_.evaluations;
    progress_.scale = 1;
    progress_.scales = static_cast<std::uint32_t>(scales_.size());
    const SizeEntry& size = bundle_->manifest.sizes[scales_[0]->size];
    progress_.width = static_cast<std::uint32_t>(size.width);
    progress_.height = static_cast<std::uint32_t>(size.height);
}

Planes Render::scaled(const Planes& planes, std::size_t width, std::size_t height, Filter filter) const {
    if (planes.width == width && planes.height == height) return planes;
    return bundle_->manifest.seamless ? resize_seamless(planes, width, height, filter) : resize(planes, width, height, filter);
}

void Render::set_content(const impasto_image& image) {
    const Busy busy(*this);
    Planes planes = resize(read_image(image), result_.width, result_.height);
    clip(planes);
    content_ = std::move(planes);
    restart();
}

void Render::set_style(const impasto_image& image) {
    const Busy busy(*this);
    const Manifest& manifest = bundle_->manifest;
    auto [width, height] = fit_long_side(image.width, image.height, result_.style_long_side);
    if (manifest.seamless) {
        width = tileable(width, manifest.smallest_side);
        height = tileable(height, manifest.smallest_side);
    }
    if (std::min(width, height) < manifest.smallest_side)
        bad_argument("style image too small: " + std::to_string(width) + "x" + std::to_string(height) +
                     " px once scaled; both sides need " + std::to_string(manifest.smallest_side) + " px");
    Planes planes = resize(read_image(image), width, height);
    clip(planes);
    painting_ = std::move(planes);
    style_ = nullptr;
    restart();
}

void Render::set_style(const std::string& name) {
    const Busy busy(*this);
    const auto& styles = bundle_->manifest.styles;
    const auto found = std::find_if(styles.begin(), styles.end(), [&](const StyleEntry& one) { return one.name == name; });
    if (found == styles.end()) {
        std::string names;
        for (const StyleEntry& style : styles) names += (names.empty() ? "" : ", ") + style.name;
        bad_argument("unknown style " + name + ": the bundle has " + (names.empty() ? "none" : names));
    }
    style_ = &*found;
    painting_.reset();
    restart();
}

Planes Render::content_at(const ScaleEntry& scale) const {
    const SizeEntry& size = bundle_->manifest.sizes[scale.size];
    Planes planes = resize(*content_, size.width, size.height);
    if (planes.width != content_->width || planes.height != content_->height) clip(planes);
    return planes;
}

Planes Render::style_at(unsigned step) const {
    if (step == 0) return *painting_;
    const Manifest& manifest = bundle_->manifest;
    const std::size_t longest = std::max(painting_->width, painting_->height), shortest = std::min(painting_->width, painting_->height);
    const std::size_t least = std::min((manifest.smallest_side * longest + shortest - 1) / shortest, longest);
    auto [width, height] = fit_long_side(painting_->width, painting_->height, std::max(reduced(longest, step), least));
    if (manifest.seamless) {
        width = tileable(width, manifest.smallest_side);
        height = tileable(height, manifest.smallest_side);
    }
    Planes planes = resize(*painting_, width, height);
    clip(planes);
    return planes;
}

std::vector<std::vector<float>> Render::features(const Planes& planes, const std::vector<std::string>& names) {
    const Graph& graph = bundle_->manifest.targets;
    for (const std::string& name : names)
        if (!graph.gives(name)) throw Failure(IMPASTO_BAD_BUNDLE, "damaged bundle: " + graph.file + " does not give " + name);
    if (!targets_) targets_ = std::make_unique<Session>(bundle_->runtime, bundle_->path(graph.file), options_.threads, "cpu");
    Tensor image(*bundle_->runtime, "float32",
                 {1, 3, static_cast<std::int64_t>(planes.height), static_cast<std::int64_t>(planes.width)});
    std::memcpy(image.data(), planes.values.data(), image.bytes());
    try {
        if (termination_.requested()) throw Stopped{};
        return targets_->run("image", image.value(), names, termination_.options());
    } catch (const Failure&) {
        if (termination_.requested()) throw Stopped{};
        throw;
    }
}

Targets Render::targets_at(const ScaleEntry& scale) {
    Targets found;
    std::vector<std::string> of_content, of_style;
    for (const Term& term : scale.terms)
        for (const std::string& name : term.targets) (name.rfind("content_", 0) == 0 ? of_content : of_style).push_back(name);
    if (!of_content.empty()) {
        auto values = features(content_at(scale), of_content);
        for (std::size_t i = 0; i < of_content.size(); ++i) found[of_content[i]] = std::move(values[i]);
    }
    if (!of_style.empty()) add_style_targets(scale, of_style, found);
    targets_.reset();
    return found;
}

void Render::add_style_targets(const ScaleEntry& scale, const std::vector<std::string>& names, Targets& found) {
    if (style_ != nullptr) {
        for (const std::string& name : names) {
            if (scale.step >= style_->steps.size() || style_->steps[scale.step].count(name) == 0)
                throw Failure(IMPASTO_BAD_BUNDLE, "damaged bundle: style " + style_->name + " has no " + name + " for this scale");
            found[name] = read_array(*bundle_, *style_, style_->steps[scale.step].at(name));
        }
        return;
    }
    const std::string root = "root_", covariance = "covariance_";
    std::vector<std::string> sources;
    for (const std::string& name : names) sources.push_back(name.rfind(root, 0) == 0 ? covariance + name.substr(root.size()) : name);
    auto values = features(style_at(scale.step), sources);
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (sources[i] == names[i]) {
            found[names[i]] = std::move(values[i]);
        } else {
            const auto size = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(values[i].size()))));
            if (size == 0 || size * size != values[i].size())
                throw Failure(IMPASTO_BAD_BUNDLE, "damaged bundle: " + sources[i] + " of " + bundle_->manifest.targets.file + " is no square matrix");
            found[names[i]] = covariance_root(values[i].data(), size);
        }
    }
}

Planes Render::start(const ScaleEntry& scale) const {
    if (!bundle_->manifest.from_noise) return content_at(scale);
    const SizeEntry& size = bundle_->manifest.sizes[scale.size];
    Planes planes(size.width, size.height);
    std::mt19937_64 random(options_.seed);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < planes.values.size(); ++i)
        planes.values[i] = kNoiseMean[i / (size.width * size.height)] + kNoiseDeviation * normal(random);
    return planes;
}

std::unique_ptr<Loop> Render::opened(std::size_t number) {
    const ScaleEntry& scale = *scales_[number];
    const Targets targets = targets_at(scale);
    return std::make_unique<Loop>(bundle_, scale, targets, options_.threads, provider_);
}

void Render::prepare() {
    if (!content_ || (!painting_ && style_ == nullptr))
        bad_argument(std::string("no ") + (content_ ? "style" : "content") + " image: set it before the run");
    if (loop_) return;
    auto loop = opened(scale_);
    loop->begin(start(*scales_[scale_]));
    loop_ = std::move(loop);
}

void Render::next_scale() {
    Carried carried = loop_->carried();
    const std::size_t width = loop_->width(), height = loop_->height();
    auto loop = opened(scale_ + 1);  // the old one stays valid if this fails
    const double fewer = static_cast<double>(width * height) / static_cast<double>(loop->width() * loop->height());
    carried.x = scaled(carried.x, loop->width(), loop->height(), Filter::lanczos);
    const auto& bounds = bundle_->manifest.bounds;
    for (const Between& between : bundle_->manifest.between) {
        const auto found = carried.vectors.find(between.name);
        if (found == carried.vectors.end()) continue;
        found->second = scaled(found->second, loop->width(), loop->height(), between.filter);
        const auto factor = static_cast<float>(std::pow(fewer, between.area_power));
        for (float& value : found->second.values) value *= factor;
        if (between.filter == Filter::lanczos && bounds)
            for (float& value : found->second.values) value = std::clamp(value, bounds->first, bounds->second);
    }
    loop->begin(carried);
    loop_ = std::move(loop);
    scale_pending_ = false;
    ++scale_;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!bundle_->manifest.adam) {
        evaluations_before_ = progress_.evaluations;
        iterations_before_ = progress_.iterations;
    }
    progress_.scale = static_cast<std::uint32_t>(scale_ + 1);
    progress_.width = static_cast<std::uint32_t>(loop_->width());
    progress_.height = static_cast<std::uint32_t>(loop_->height());
}

void Render::record(const Row& row) {
    const std::lock_guard<std::mutex> lock(mutex_);
    progress_.evaluations = evaluations_before_ + row.evaluations;
    progress_.iterations = iterations_before_ + row.iteration;
    progress_.loss = row.loss;
    const bool last = scale_ + 1 == scales_.size();
    if (progress_.evaluations >= progress_.total) progress_.state = IMPASTO_DONE;
    else if (last && row.code != 0) progress_.state = IMPASTO_CONVERGED;
}

impasto_code Render::run(std::uint32_t evaluations, impasto_callback callback, void* user) {
    const Busy busy(*this);
    try {
        return advance(evaluations, callback, user);
    } catch (const Stopped&) {
        termination_.take();
        return IMPASTO_STOPPED;
    }
}

impasto_code Render::advance(std::uint32_t evaluations, impasto_callback callback, void* user) {
    if (termination_.take()) return IMPASTO_STOPPED;
    prepare();
    if (scale_pending_) next_scale();
    for (std::uint32_t done = 0; evaluations == 0 || done < evaluations; ++done) {
        if (progress().state != IMPASTO_READY) return IMPASTO_OK;
        if (termination_.take()) return IMPASTO_STOPPED;
        Row row;
        if (!loop_->advance(termination_, row)) {
            termination_.take();
            return IMPASTO_STOPPED;
        }
        if (row.code == kNonFiniteStart)
            throw Failure(IMPASTO_RUNTIME_FAILED, "the loss of the start image is not finite: take a bundle of another precision or weights");
        record(row);
        const impasto_progress now = progress();
        const bool scale_done = row.code != 0 || now.evaluations >= ends_[scale_];
        scale_pending_ = scale_done && scale_ + 1 < scales_.size() && now.state == IMPASTO_READY;
        if (callback != nullptr && callback(&now, user) != 0) return IMPASTO_STOPPED;
        if (scale_pending_) next_scale();
    }
    return IMPASTO_OK;
}

void Render::image(const impasto_image& target) const {
    if (!content_) bad_argument("no image yet: set the content image first");
    Planes planes = loop_ ? loop_->image() : *content_;
    if (planes.width != target.width || planes.height != target.height) {
        if (target.format == IMPASTO_U8 && !bundle_->manifest.seamless) {
            for (float& value : planes.values) value = std::nearbyint(std::clamp(value, 0.0F, 1.0F) * 255.0F) / 255.0F;
            planes = resize_levels(planes, target.width, target.height);
        } else {
            planes = scaled(planes, target.width, target.height, Filter::lanczos);
        }
    }
    write_image(planes, target);
}

impasto_progress Render::progress() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return progress_;
}

}  // namespace impasto_core
