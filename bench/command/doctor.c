/*
 * doctor.c - `stepwell doctor`: what on this machine matters for memory. Each fact, what it means,
 * and advice only where there is something to do.
 */
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "doctor.h"
#include "output.h"
#include "stepwell.h"

static const char doc[] =
    "What on this machine matters for memory: each fact, what it means, and advice where there is "
    "something to do."
    "\vExamples:\n"
    "  stepwell doctor\n"
    "  stepwell doctor --json | python3 -m json.tool\n"
    "\n"
    "Exit code: 0 all works (with advice or without), 1 something here would\n"
    "break us, 2 the command line is wrong.\n";

/* ---- Looking --------------------------------------------------------------------------------- */

enum { MOST_FACTS = 40 };

struct facts_found {
    struct fact facts[MOST_FACTS];
    size_t count;
};

static void look(const struct check *check, struct facts_found *found) {
    for (; check->name && found->count < MOST_FACTS; check++) {
        struct fact *fact = &found->facts[found->count++];
        fact->name = check->name;
        check->fill(fact);
    }
}

static size_t count_in_state(const struct facts_found *found, enum fact_state state) {
    size_t count = 0;
    for (size_t i = 0; i < found->count; i++) {
        count += found->facts[i].state == state;
    }
    return count;
}

/* ---- Showing it ------------------------------------------------------------------------------ */

static const char *const state_names[] = {"fine", "advice", "broken"};

static void print_facts(const struct facts_found *found, bool colour) {
    enum { INDENT = 4 };
    static const char *const colours[] = {"", "\033[33m", "\033[31m"};
    int width = output_width(stdout);
    for (size_t i = 0; i < found->count; i++) {
        const struct fact *fact = &found->facts[i];
        printf("%s%s%s: %s\n", colour ? "\033[1m" : "", fact->name, colour ? "\033[0m" : "",
               fact->value);
        print_filled(stdout, fact->meaning, INDENT, width);
        if (*fact->advice) {
            char line[FACT_WORDS + 8];
            snprintf(line, sizeof line, "-> %s", fact->advice);
            fputs(colour ? colours[fact->state] : "", stdout);
            print_filled(stdout, line, INDENT, width);
            fputs(colour ? "\033[0m" : "", stdout);
        }
    }
}

static void print_verdict(const struct facts_found *found) {
    printf("\n%zu facts: %zu fine, %zu with advice, %zu that would break us\n", found->count,
           count_in_state(found, FINE), count_in_state(found, ADVICE),
           count_in_state(found, BROKEN));
}

static bool write_facts_json(const char *path, const struct facts_found *found, bool works) {
    cJSON *json = cJSON_CreateObject();
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < found->count; i++) {
        const struct fact *fact = &found->facts[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "name", fact->name);
        cJSON_AddStringToObject(object, "state", state_names[fact->state]);
        cJSON_AddStringToObject(object, "value", fact->value);
        cJSON_AddStringToObject(object, "meaning", fact->meaning);
        cJSON_AddItemToObject(object, "advice",
                              *fact->advice ? cJSON_CreateString(fact->advice)
                                            : cJSON_CreateNull());
        cJSON_AddItemToArray(array, object);
    }
    cJSON_AddStringToObject(json, "stepwell", sw_version());
    cJSON_AddBoolToObject(json, "works", works);
    cJSON_AddItemToObject(json, "facts", array);
    bool good = write_json(path, json);
    cJSON_Delete(json);
    return good;
}

static const struct argp_child children[] = {{&output_plain_argp, 0, NULL, 0}, {0}};

static error_t parse_doctor(int key, char *argument, struct argp_state *state) {
    if (key == ARGP_KEY_INIT) {
        state->child_inputs[0] = state->input;
        return 0;
    }
    if (key == ARGP_KEY_ARG) {
        misused("unexpected argument '%s'", argument);
    }
    return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {.parser = parse_doctor, .doc = doc, .children = children};

int command_doctor(int argc, char **argv) {
    static struct facts_found found;
    struct output_options output = {0};
    parse_arguments(&argp, argc, argv, &output);
    look(machine_checks, &found);
    look(environment_checks, &found);
    bool works = count_in_state(&found, BROKEN) == 0;
    if (wants_table(&output)) {
        print_facts(&found, wants_colour(stdout, output.colour));
        print_verdict(&found);
    }
    bool written = !output.json || write_facts_json(output.json, &found, works);
    return works && written ? EXIT_OK : EXIT_FAILED;
}
