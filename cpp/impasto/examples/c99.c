/* Paint from C99: two images made here, in the style of each other, and the loss after every evaluation.
 *
 *     impasto-c99 DIR [EVALUATIONS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "impasto/impasto.h"

enum { SIDE = 64 };

static int tell(const impasto_progress *progress, void *user) {
    (void)user;
    printf("evaluation %u: loss %.9g\n", (unsigned)progress->evaluations, progress->loss);
    return 0;
}

static int failed(const char *doing, impasto_error *error) {
    fprintf(stderr, "error: cannot %s: %s\n", doing, impasto_error_message(error));
    impasto_error_free(error);
    return 2;
}

int main(int count, char **arguments) {
    static unsigned char content[SIDE * SIDE * 3], style[SIDE * SIDE * 3];
    impasto_image image = {sizeof image, content, SIDE, SIDE, 0, 3, IMPASTO_U8};
    impasto_bundle *bundle = NULL;
    impasto_render *render = NULL;
    impasto_error *error = NULL;
    impasto_render_options options = {sizeof options, 0, 10, 1, 0, NULL};
    int i;
    if (count < 2) {
        fprintf(stderr, "usage: impasto-c99 DIR [EVALUATIONS]\n");
        return 2;
    }
    if (count > 2) options.evaluations = (uint32_t)strtoul(arguments[2], NULL, 10);
    for (i = 0; i < SIDE * SIDE; ++i) {
        content[3 * i] = (unsigned char)(4 * (i % SIDE));
        content[3 * i + 1] = (unsigned char)(4 * (i / SIDE));
        style[3 * i + 2] = (unsigned char)((i / 8 + i / SIDE / 8) % 2 * 200);
        style[3 * i] = (unsigned char)(i % 251);
    }
    if (impasto_bundle_open(arguments[1], NULL, &bundle, &error) != IMPASTO_OK) return failed("open the bundle", error);
    if (impasto_render_new(bundle, &options, &render, &error) != IMPASTO_OK) {
        impasto_bundle_free(bundle);
        return failed("make a render", error);
    }
    impasto_bundle_free(bundle);
    if (impasto_set_content(render, &image, &error) == IMPASTO_OK) {
        image.data = style;
        if (impasto_set_style(render, &image, &error) == IMPASTO_OK && impasto_run(render, 0, tell, NULL, &error) == IMPASTO_OK) {
            image.data = content;
            impasto_image_of(render, &image, &error);
        }
    }
    impasto_render_free(render);
    return error == NULL ? 0 : failed("paint", error);
}
