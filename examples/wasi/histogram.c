// Counts how often each letter comes up in the files it finds, and writes the counts to a file.
//
//   anchor run wasi/histogram.wasm --file lighthouse.txt --out counts.csv
//
// `histogram.wasm` beside this file was built from it with Debian's clang, lld and wasi-libc:
//   clang --target=wasm32-wasi --sysroot=/usr -O2 -s -o histogram.wasm histogram.c
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int main(void) {
    long counts[26] = {0}, letters = 0, files = 0;
    DIR *here = opendir(".");
    if (here == NULL) {
        perror("the working directory");
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(here)) != NULL;) {
        struct stat about;
        if (strcmp(entry->d_name, "counts.csv") == 0) continue;
        if (stat(entry->d_name, &about) != 0 || !S_ISREG(about.st_mode)) continue;
        FILE *file = fopen(entry->d_name, "r");
        if (file == NULL) {
            perror(entry->d_name);
            return 1;
        }
        files++;
        for (int c; (c = fgetc(file)) != EOF;) {
            if (!isascii(c) || !isalpha(c)) continue;
            counts[tolower(c) - 'a']++;
            letters++;
        }
        fclose(file);
    }
    closedir(here);
    FILE *out = fopen("counts.csv", "w");
    if (out == NULL) {
        perror("counts.csv");
        return 1;
    }
    fputs("letter,count\n", out);
    for (int i = 0; i < 26; i++) fprintf(out, "%c,%ld\n", 'a' + i, counts[i]);
    fclose(out);
    printf("{\"files\": %ld, \"letters\": %ld}\n", files, letters);
    return 0;
}
