/*
 * plugin.cc - a library for dlopen(), whose C++ objects allocate when it is loaded, when it is
 * unloaded, and in each thread's very last moments.
 */
#include <map>
#include <string>

namespace {

/* Allocates when it is made, and once more when it ends. */
struct Keeper {
    std::map<int, std::string> texts;

    Keeper() {
        fill();
    }

    ~Keeper() {
        fill();
    }

    void fill() {
        for (int i = 0; i < 100; i++)
            texts[i] = std::string(static_cast<std::size_t>(i * 10), 'x');
    }
};

Keeper of_the_library;
thread_local Keeper of_the_thread;

} // namespace

extern "C" std::size_t plugin_use_thread() {
    return of_the_thread.texts.size() + of_the_library.texts.size();
}
