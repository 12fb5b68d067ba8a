/* replay.c - runs a fuzz target on files, with any compiler: `make test` replays each corpus, and a
 * crash that libFuzzer wrote down is looked at in a debugger. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *data;
    long size;

    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0) {
        perror(path);
        exit(2);
    }
    rewind(f);
    /* Exactly as long as the input, so that ASan sees one byte too far. */
    data = malloc((size_t)size);
    if ((size > 0 && data == NULL) || fread(data, 1, (size_t)size, f) != (size_t)size) {
        perror(path);
        exit(2);
    }
    (void)fclose(f);
    /* Before it runs, so that the last line names the input that crashed. */
    fprintf(stderr, "%s\n", path);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)data, (size_t)size);
    free(data);
}

static unsigned replay_folder(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    unsigned count = 0;

    if (d == NULL) {
        replay(path);
        return 1;
    }
    while ((e = readdir(d)) != NULL) {
        char file[4096];

        if (e->d_name[0] != '.' && snprintf(file, sizeof(file), "%s/%s", path, e->d_name) > 0) {
            replay(file);
            count++;
        }
    }
    (void)closedir(d);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    for (int i = 1; i < argc; i++) {
        count += replay_folder(argv[i]);
    }
    printf("%u passed, 0 failed\n", count);
    return 0;
}
