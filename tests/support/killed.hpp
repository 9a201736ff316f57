// A program that is killed in the middle of its work, and what it leaves behind.
#pragma once

#include <csignal>
#include <stdexcept>

#include <sys/wait.h>
#include <unistd.h>

/// Runs f in a process of its own, which is then killed without a chance to clean up, with all that f made still alive:
/// f calls what it is given where it wants to die.
template <class F>
void kill_in_the_middle_of(F&& f) {
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("kill_in_the_middle_of: cannot fork");
    if (child == 0) {
        try {
            f([] { ::kill(::getpid(), SIGKILL); });
        } catch (...) {
        }
        ::_exit(1);  // f did not die
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        throw std::runtime_error("kill_in_the_middle_of: was not killed");
}
