/*
 * program.c - see program.h. Reads the ELF headers of the program and, to compare, its own.
 */
#include "program.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- Where it is ----------------------------------------------------------------------------- */

static bool is_program(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

bool find_program(const char *command, char path[PROGRAM_PATH]) {
    const char *directories = getenv("PATH");
    if (strchr(command, '/')) {
        snprintf(path, PROGRAM_PATH, "%s", command);
        return is_program(path);
    }
    for (const char *at = directories ? directories : "/bin:/usr/bin"; at;) {
        size_t length = strcspn(at, ":");
        snprintf(path, PROGRAM_PATH, "%.*s%s%s", (int)length, at, length ? "/" : "", command);
        if (is_program(path)) {
            return true;
        }
        at = at[length] == ':' ? at + length + 1 : NULL;
    }
    return false;
}

/* ---- A file in memory ------------------------------------------------------------------------ */

struct image {
    const char *bytes;
    size_t size;
};

static bool open_image(const char *path, struct image *image) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool good = fstat(fd, &info) == 0 && info.st_size > 0;
    image->size = good ? (size_t)info.st_size : 0;
    void *bytes = good ? mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    image->bytes = bytes;
    close(fd);
    return bytes != MAP_FAILED;
}

static void close_image(struct image *image) {
    munmap((void *)image->bytes, image->size);
}

/* The `count` pieces of `size` bytes at `offset`; NULL when they are not all in the file. */
static const void *pieces_at(const struct image *image, size_t offset, size_t size, size_t count) {
    size_t length;
    return !__builtin_mul_overflow(size, count, &length) && offset <= image->size &&
                   length <= image->size - offset
               ? image->bytes + offset
               : NULL;
}

/* ---- ELF ------------------------------------------------------------------------------------- */

static const unsigned char *identity_of(const struct image *image) {
    const unsigned char *identity = pieces_at(image, 0, EI_NIDENT, 1);
    return identity && memcmp(identity, ELFMAG, SELFMAG) == 0 ? identity : NULL;
}

/* The header of a file of this machine's kind: of the same class, byte order and processor as this
 * program. NULL when it is of another. */
static const Elf64_Ehdr *native_header(const struct image *image) {
    struct image self;
    const Elf64_Ehdr *header = pieces_at(image, 0, sizeof *header, 1);
    if (!header || !open_image("/proc/self/exe", &self)) {
        return NULL;
    }
    const Elf64_Ehdr *own = pieces_at(&self, 0, sizeof *own, 1);
    bool same = own && header->e_machine == own->e_machine &&
                header->e_ident[EI_CLASS] == own->e_ident[EI_CLASS] &&
                header->e_ident[EI_DATA] == own->e_ident[EI_DATA];
    close_image(&self);
    return same ? header : NULL;
}

static bool asks_for_a_dynamic_linker(const struct image *image, const Elf64_Ehdr *header) {
    const Elf64_Phdr *segments =
        pieces_at(image, header->e_phoff, sizeof *segments, header->e_phnum);
    for (size_t i = 0; segments && i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_INTERP) {
            return true;
        }
    }
    return false;
}

static bool is_malloc(const struct image *image, const Elf64_Shdr *names, const Elf64_Sym *symbol) {
    static const char name[] = "malloc";
    const char *found = pieces_at(image, names->sh_offset + symbol->st_name, sizeof name, 1);
    return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && found &&
           memcmp(found, name, sizeof name) == 0;
}

static bool defines_malloc(const struct image *image, const Elf64_Ehdr *header) {
    const Elf64_Shdr *sections =
        pieces_at(image, header->e_shoff, sizeof *sections, header->e_shnum);
    for (size_t i = 0; sections && i < header->e_shnum; i++) {
        const Elf64_Shdr *section = &sections[i];
        if ((section->sh_type != SHT_SYMTAB && section->sh_type != SHT_DYNSYM) ||
            section->sh_link >= header->e_shnum) {
            continue;
        }
        size_t count = section->sh_size / sizeof(Elf64_Sym);
        const Elf64_Sym *symbols = pieces_at(image, section->sh_offset, sizeof *symbols, count);
        for (size_t s = 0; symbols && s < count; s++) {
            if (is_malloc(image, &sections[section->sh_link], &symbols[s])) {
                return true;
            }
        }
    }
    return false;
}

bool has_own_malloc(const char *path) {
    struct image image;
    if (!open_image(path, &image)) {
        return false;
    }
    const Elf64_Ehdr *header = identity_of(&image) ? native_header(&image) : NULL;
    bool defines = header && defines_malloc(&image, header);
    close_image(&image);
    return defines;
}

/* ---- Why not --------------------------------------------------------------------------------- */

/* The kernel tells the dynamic linker to trust no environment ("secure-execution mode"). */
static const char *explain_privileges(const char *path) {
    struct stat info;
    if (stat(path, &info) == 0) {
        if ((info.st_mode & S_ISUID) && info.st_uid != getuid()) {
            return "is setuid, where the dynamic linker ignores LD_PRELOAD";
        }
        if ((info.st_mode & S_ISGID) && (info.st_mode & S_IXGRP) && info.st_gid != getgid()) {
            return "is setgid, where the dynamic linker ignores LD_PRELOAD";
        }
    }
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0) {
        return "has file capabilities, where the dynamic linker ignores LD_PRELOAD";
    }
    return NULL;
}

static const char *explain_elf(const char *path, const struct image *image) {
    const Elf64_Ehdr *header = native_header(image);
    if (!header) {
        return "is built for another architecture than libstepwell-preload.so";
    }
    if (!asks_for_a_dynamic_linker(image, header)) {
        return "is a static binary: no dynamic linker reads LD_PRELOAD for it";
    }
    const char *privileges = explain_privileges(path);
    if (privileges) {
        return privileges;
    }
    return defines_malloc(image, header) ? "has an allocator of its own linked in" : NULL;
}

/* "#! interpreter argument": the kernel runs the interpreter, whose file it is that counts. */
static bool find_interpreter(const struct image *image, char path[PROGRAM_PATH]) {
    size_t most = image->size < 256 ? image->size : 256; /* as much as the kernel reads */
    char line[257];
    memcpy(line, image->bytes, most);
    line[most] = '\0';
    if (strncmp(line, "#!", 2) != 0) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    const char *name = line + 2 + strspn(line + 2, " \t");
    snprintf(path, PROGRAM_PATH, "%.*s", (int)strcspn(name, " \t"), name);
    return true;
}

static bool explain_script(const struct image *image, int depth, char *why, size_t size);

static bool explain_file(const char *path, int depth, char *why, size_t size) {
    struct image image;
    if (!open_image(path, &image)) {
        return false;
    }
    bool explained;
    if (identity_of(&image)) {
        const char *reason = explain_elf(path, &image);
        snprintf(why, size, "%s", reason ? reason : "");
        explained = reason != NULL;
    } else {
        explained = explain_script(&image, depth, why, size);
    }
    close_image(&image);
    return explained;
}

static bool explain_script(const struct image *image, int depth, char *why, size_t size) {
    enum { DEEPEST = 4 }; /* the kernel's own bound is five */
    char interpreter[PROGRAM_PATH];
    char reason[256];
    if (!find_interpreter(image, interpreter)) {
        snprintf(interpreter, sizeof interpreter, "/bin/sh"); /* as execvp() does */
    }
    if (depth == DEEPEST || !explain_file(interpreter, depth + 1, reason, sizeof reason)) {
        return false;
    }
    snprintf(why, size, "is a script, and its interpreter %s %s", interpreter, reason);
    return true;
}

bool explain_no_preload(const char *path, char *why, size_t size) {
    return explain_file(path, 0, why, size);
}
