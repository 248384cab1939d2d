// Counts words as a map and as a reduce, by the files of a job: docs/map-reduce.md says what they hold.
//
// `word_count.wasm` beside this file was built from it with Debian's clang, lld and wasi-libc:
//   clang --target=wasm32-wasi --sysroot=/usr -O2 -s -o word_count.wasm word_count.c
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
    char *text;  // as it stands between the quotes of JSON
    unsigned hash;
    long count;
};

static struct word *words;
static size_t room, used;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void *need(void *memory) {
    if (memory == NULL) fail("memory");
    return memory;
}

static unsigned crc32(const unsigned char *text, size_t size) {
    unsigned crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= text[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static struct word *place(struct word *table, size_t places, const char *text, unsigned hash) {
    size_t at = hash % places;
    while (table[at].text != NULL && (table[at].hash != hash || strcmp(table[at].text, text) != 0)) at = (at + 1) % places;
    return &table[at];
}

static void add(const char *text, unsigned hash, long count) {
    if (2 * (used + 1) > room) {
        size_t more = room ? 2 * room : 1 << 12;
        struct word *table = need(calloc(more, sizeof *table));
        for (size_t i = 0; i < room; i++)
            if (words[i].text != NULL) *place(table, more, words[i].text, words[i].hash) = words[i];
        free(words);
        words = table;
        room = more;
    }
    struct word *found = place(words, room, text, hash);
    if (found->text == NULL) {
        *found = (struct word){need(strdup(text)), hash, 0};
        used++;
    }
    found->count += count;
}

static char *whole(const char *name) {
    FILE *file = fopen(name, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail(name);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *text = need(malloc(size + 1));
    if (fread(text, 1, size, file) != size) fail(name);
    fclose(file);
    text[size] = 0;
    return text;
}

static void map(int reducers) {
    char *text = whole("item");
    for (char *at = text; *at;) {
        while (isspace((unsigned char)*at)) at++;
        char *start = at;
        while (*at && !isspace((unsigned char)*at)) at++;
        if (at == start) break;
        char *escaped = need(malloc(6 * (size_t)(at - start) + 1)), *to = escaped;
        for (char *c = start; c < at; c++) {
            if (*c == '"' || *c == '\\') *to++ = '\\', *to++ = *c;
            else if ((unsigned char)*c < 32) to += sprintf(to, "\\u%04x", *c);
            else *to++ = *c;
        }
        *to = 0;
        add(escaped, crc32((unsigned char *)start, (size_t)(at - start)), 1);
        free(escaped);
    }
    for (int share = 0; share < reducers; share++) {
        FILE *file = NULL;
        char name[16];
        snprintf(name, sizeof name, "part-%04d", share);
        for (size_t i = 0; i < room; i++) {
            if (words[i].text == NULL || words[i].hash % (unsigned)reducers != (unsigned)share) continue;
            if (file == NULL && (file = fopen(name, "w")) == NULL) fail(name);
            fprintf(file, "%c\"%s\":[%ld]", ftell(file) ? ',' : '{', words[i].text, words[i].count);
        }
        if (file == NULL && used == 0 && share == 0 && (file = fopen(name, "w")) != NULL) fputc('{', file);
        if (file != NULL && (fputc('}', file) == EOF || fclose(file) != 0)) fail(name);
    }
}

// The end of a JSON text that begins behind a quote.
static char *closing(char *at) {
    while (*at != '"') at += *at == '\\' ? 2 : 1;
    return at;
}

static int by_text(const void *one, const void *other) {
    return strcmp(((const struct word *)one)->text, ((const struct word *)other)->text);
}

static void reduce(char *share) {
    for (char *name; (name = strchr(share, '"')) != NULL;) {
        share = closing(++name);
        *share++ = 0;
        char *at = whole(name);
        while ((at = strchr(at, '"')) != NULL) {
            char *key = at + 1;
            at = closing(key);
            *at++ = 0;
            unsigned hash = crc32((unsigned char *)key, strlen(key));
            for (at = strchr(at, '[') + 1; *at != ']'; at += *at == ',') add(key, hash, strtol(at, &at, 10));
        }
    }
    size_t count = 0;
    for (size_t i = 0; i < room; i++)
        if (words[i].text != NULL) words[count++] = words[i];
    if (count) qsort(words, count, sizeof *words, by_text);
    putchar('[');
    for (size_t i = 0; i < count; i++) printf("%s[\"%s\",%ld]", i ? "," : "", words[i].text, words[i].count);
    putchar(']');
}

int main(void) {
    char *share = getenv("ANCHOR_SHARE");
    if (share != NULL) reduce(share);
    else map(atoi(getenv("ANCHOR_REDUCERS")));
    return 0;
}
