/*
 * list.c - `stepwell list`: what there is to choose from on this machine.
 */
#include <stdlib.h>
#include <string.h>

#include "allocators.h"
#include "arguments.h"
#include "command.h"
#include "output.h"
#include "stepwell.h"
#include "table.h"

static const char doc[] =
    "The strategies a heap can have, and the allocators on this machine that could be preloaded "
    "instead."
    "\vExamples:\n"
    "  stepwell list\n"
    "  stepwell list --json | python3 -m json.tool\n"
    "\n"
    "Exit code: 0 done, 1 the results could not be written, 2 the command line\n"
    "is wrong.\n";

static const struct argp_child children[] = {{&output_plain_argp, 0, NULL, 0}, {0}};

static error_t parse_list(int key, char *argument, struct argp_state *state) {
    (void)argument;
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = state->input;
        return 0;
    }
    if (key == ARGP_KEY_ARG) {
        misused("unexpected argument '%s'", argument);
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {.parser = parse_list, .doc = doc, .children = children};

/* Is the strategy to be had here? If not, *reason is one sentence, valid until the next error. */
static bool is_available(const char *strategy, const char **reason) {
    sw_heap *heap = sw_heap_create(strategy, NULL);
    *reason = heap ? NULL : sw_error();
    sw_heap_destroy(heap);
    return heap != NULL;
}

static void print_strategies(bool colour) {
    const struct sw_strategy_info *info;
    struct table table;
    table_init(&table);
    table_column(&table, "strategy", ALIGN_LEFT);
    table_column(&table, "", ALIGN_LEFT);
    for (size_t i = 0; (info = sw_strategy_info(i)); i++) {
        const char *reason;
        bool available = is_available(info->name, &reason);
        size_t row = table_row(&table);
        table_set(&table, row, 0, MARK_NONE, "%s", info->name);
        table_set(&table, row, 1, MARK_NONE, "%s%s%s", info->summary,
                  available ? "" : "; unavailable: ", available ? "" : reason);
    }
    table_print(&table, stdout, colour, output_width(stdout));
    table_free(&table);
}

static void print_allocators(bool colour) {
    struct allocator allocators[ALLOCATORS_MOST];
    size_t count = find_allocators(allocators);
    struct table table;
    table_init(&table);
    table_column(&table, "allocator", ALIGN_LEFT);
    table_column(&table, "", ALIGN_LEFT);
    for (size_t i = 0; i < count; i++) {
        bool found = allocators[i].path[0] != '\0';
        size_t row = table_row(&table);
        table_set(&table, row, 0, MARK_NONE, "%s", allocators[i].name);
        table_set(&table, row, 1, MARK_NONE, "%s%s",
                  found ? allocators[i].path : "not found; Debian's package is ",
                  found ? "" : allocators[i].package);
    }
    table_print(&table, stdout, colour, output_width(stdout));
    table_free(&table);
}

static cJSON *strategies_json(void) {
    const struct sw_strategy_info *info;
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; (info = sw_strategy_info(i)); i++) {
        const char *reason;
        bool available = is_available(info->name, &reason);
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "name", info->name);
        cJSON_AddStringToObject(object, "summary", info->summary);
        cJSON_AddBoolToObject(object, "available", available);
        if (!available) {
            cJSON_AddStringToObject(object, "reason", reason);
        }
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

static cJSON *allocators_json(void) {
    struct allocator allocators[ALLOCATORS_MOST];
    size_t count = find_allocators(allocators);
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) {
        bool found = allocators[i].path[0] != '\0';
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "name", allocators[i].name);
        cJSON_AddBoolToObject(object, "available", found);
        cJSON_AddItemToObject(object, "path",
                              found ? cJSON_CreateString(allocators[i].path) : cJSON_CreateNull());
        cJSON_AddStringToObject(object, "package", allocators[i].package);
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

static bool write_list_json(const char *path) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "stepwell", sw_version());
    cJSON_AddItemToObject(json, "strategies", strategies_json());
    cJSON_AddItemToObject(json, "allocators", allocators_json());
    bool good = write_json(path, json);
    cJSON_Delete(json);
    return good;
}

int command_list(int argc, char **argv) {
    struct output_options output = {0};
    parse_arguments(&argp, argc, argv, &output);
    if (wants_table(&output)) {
        bool colour = wants_colour(stdout, output.colour);
        print_strategies(colour);
        putchar('\n');
        print_allocators(colour);
    }
    return output.json && !write_list_json(output.json) ? EXIT_FAILED : EXIT_OK;
}
