/* A CUDA driver without a card.
 *
 * Built as libcuda.so.1 and first on LD_LIBRARY_PATH, it lets numba-cuda do all that it does on the host: marshalling
 * of arguments, linking and loading of kernels, contexts, streams, events, memory. Device memory is the host's, copies
 * are made at once, a launch is checked and written down, and kernels do nothing.
 *
 * What a driver would refuse, or a card stumble over, is refused with the driver's own code, and the log says why.
 * There is only what numba-cuda asks for on the way to an image; it says the name of a function that is missing.
 *
 *   NO_CARD_COUNT       cards (1)
 *   NO_CARD_CAPABILITY  compute capability (9.0)
 *   NO_CARD_RATIO       float32 operations in the time of a float64 one (2)
 *   NO_CARD_TOTAL       bytes of memory of a card (80 GiB)
 *   NO_CARD_FREE        bytes of these that are free (all)
 *   NO_CARD_LARGEST     bytes of the largest allocation that succeeds (any): a card whose memory others take meanwhile
 *   NO_CARD_FILL        byte that fills new memory (255: an image that no kernel wrote is NaN)
 *   NO_CARD_COPY        0: nothing is copied from a card to page-locked memory, as if it were doing that by itself while
 *                       the host goes on (1)
 *   NO_CARD_LOG         file to which a line is added for every call that matters: its name, then key=value, then,
 *                       of calls that are refused, "refused: why"
 */
#define _GNU_SOURCE
#include <elf.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    MOST_CARDS = 16,
    MOST_NESTED_CONTEXTS = 64,
    MOST_HELD = 1 << 16,
    MOST_PARAMETERS = 1024,
    LONGEST_NAME = 64,
    PAGE = 4096,
    DRIVER_VERSION = 13000,
    MOST_THREADS_OF_BLOCK = 1024,
    MOST_BLOCKS_ACROSS = 65535,
    SHARED_BYTES = 48 << 10,
};
#define ADDRESSES_OF_CARD ((size_t)1 << 40)
#define MOST_BLOCKS_ALONG 0x7fffffffu

typedef enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
} Status;

typedef unsigned long long Address;
typedef void *Handle;

typedef struct {
    int number;
    uintptr_t first_address;
    size_t addresses_given; /* never twice: what points to freed memory is found out */
    size_t bytes_held;
} Card; /* its address stands for the primary context */

typedef enum { DEVICE_MEMORY, HOST_MEMORY, STREAM, EVENT } Kind;

typedef struct {
    Kind kind;
    uintptr_t start; /* the address, or the handle */
    size_t bytes;
    Card *card;
    bool recorded;
    struct timespec time; /* of events */
} Held;

typedef struct {
    char name[LONGEST_NAME];
    bool loaded;
    int parameters;
    uint16_t offset[MOST_PARAMETERS], size[MOST_PARAMETERS];
} Kernel; /* its address stands for library, kernel and function */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static FILE *log_file;
static bool initialized;
static int card_count, capability_major, capability_minor, ratio, fill, copies_to_locked;
static size_t total_bytes, free_bytes_at_start, largest_allocation;
static Card cards[MOST_CARDS];
static Held held[MOST_HELD];
static int held_count;
static uintptr_t last_handle = 0x10000;
static __thread Card *contexts[MOST_NESTED_CONTEXTS];
static __thread int context_count;

/* Settings and log ------------------------------------------------------------------------------------------------- */

static size_t setting(const char *name, size_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void read_settings(void) {
    const char *capability = getenv("NO_CARD_CAPABILITY"), *path = getenv("NO_CARD_LOG");
    if (!capability || sscanf(capability, "%d.%d", &capability_major, &capability_minor) != 2)
        capability_major = 9, capability_minor = 0;
    size_t count = setting("NO_CARD_COUNT", 1);
    card_count = count < MOST_CARDS ? (int)count : MOST_CARDS;
    ratio = (int)setting("NO_CARD_RATIO", 2);
    fill = (int)setting("NO_CARD_FILL", 255);
    copies_to_locked = (int)setting("NO_CARD_COPY", 1);
    total_bytes = setting("NO_CARD_TOTAL", (size_t)80 << 30);
    free_bytes_at_start = setting("NO_CARD_FREE", total_bytes);
    largest_allocation = setting("NO_CARD_LARGEST", SIZE_MAX);
    if (path && !(log_file = fopen(path, "a"))) {
        perror(path);
        abort();
    }
    if (log_file) setvbuf(log_file, NULL, _IOLBF, BUFSIZ);
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...) {
    if (!log_file) return;
    va_list values;
    va_start(values, format);
    flockfile(log_file);
    vfprintf(log_file, format, values);
    fputc('\n', log_file);
    funlockfile(log_file);
    va_end(values);
}

static Status refused(Status status, const char *call, const char *why) {
    tell("%s refused: %s", call, why);
    return status;
}

/* What is held: memory, streams, events. To be called under the mutex. --------------------------------------------- */

static Held *find(Kind kind, uintptr_t start) {
    for (int i = 0; i < held_count; i++)
        if (held[i].kind == kind && held[i].start == start) return &held[i];
    return NULL;
}

/* The memory in which an address lies, or just behind which, as an empty slice may. */
static Held *find_around(Kind kind, uintptr_t address) {
    for (int i = 0; i < held_count; i++)
        if (held[i].kind == kind && held[i].start <= address && address <= held[i].start + held[i].bytes)
            return &held[i];
    return NULL;
}

static bool ends_within(const Held *memory, uintptr_t address, size_t bytes) {
    return bytes <= memory->start + memory->bytes - address;
}

static Held *hold(Kind kind, uintptr_t start, size_t bytes, Card *card) {
    if (held_count == MOST_HELD) return NULL;
    held[held_count] = (Held){.kind = kind, .start = start, .bytes = bytes, .card = card};
    return &held[held_count++];
}

static void let_go(Held *gone) { *gone = held[--held_count]; }

static Card *card_of_address(uintptr_t address) {
    for (int i = 0; i < card_count; i++) {
        uintptr_t first = cards[i].first_address;
        if (first && first <= address && address < first + ADDRESSES_OF_CARD) return &cards[i];
    }
    return NULL;
}

/* Every thread has its own stack of contexts. ---------------------------------------------------------------------- */

static Card *current(void) { return context_count ? contexts[context_count - 1] : NULL; }

static int number_of(const Card *card) { return card ? card->number : -1; }

/* Why a call that needs a context cannot be served; SUCCESS where it can. */
static Status check_context(const char *call) {
    if (!initialized) return refused(NOT_INITIALIZED, call, "cuInit was not called");
    return current() ? SUCCESS : refused(INVALID_CONTEXT, call, "no context is current in this thread");
}

static Card *context_of(Handle context) {
    for (int i = 0; i < card_count; i++)
        if (context == &cards[i]) return &cards[i];
    return NULL;
}

static Status ctx_push(Handle context) {
    Card *card = context_of(context);
    if (!card) return refused(INVALID_CONTEXT, "cuCtxPushCurrent", "there is no such context");
    if (context_count == MOST_NESTED_CONTEXTS) return refused(OUT_OF_MEMORY, "cuCtxPushCurrent", "too many are nested");
    contexts[context_count++] = card;
    return SUCCESS;
}

static Status ctx_pop(Handle *context) {
    if (!context_count) return refused(INVALID_CONTEXT, "cuCtxPopCurrent", "no context is current in this thread");
    *context = contexts[--context_count];
    return SUCCESS;
}

static Status ctx_set(Handle context) {
    if (context_count) context_count--;
    return context ? ctx_push(context) : SUCCESS;
}

static Status ctx_get(Handle *context) {
    *context = current();
    return SUCCESS;
}

static Status ctx_get_device(int *number) {
    Status status = check_context("cuCtxGetDevice");
    if (status == SUCCESS) *number = current()->number;
    return status;
}

static Status ctx_get_device_of(int *number, Handle context) {
    Card *card = context ? context_of(context) : current();
    if (!card) return refused(INVALID_CONTEXT, "cuCtxGetDevice", "no such context");
    *number = card->number;
    return SUCCESS;
}

static Status ctx_synchronize(void) {
    tell("cuCtxSynchronize card=%d", number_of(current()));
    return check_context("cuCtxSynchronize");
}

/* Cards ------------------------------------------------------------------------------------------------------------ */

static Status init(unsigned flags) {
    (void)flags;
    if (!card_count) return refused(NO_DEVICE, "cuInit", "NO_CARD_COUNT is 0");
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < card_count && !initialized; i++) {
        void *addresses =
            mmap(NULL, ADDRESSES_OF_CARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        cards[i].number = i;
        cards[i].first_address = addresses == MAP_FAILED ? 0 : (uintptr_t)addresses;
    }
    initialized = true;
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

static Status driver_version(int *version) {
    *version = DRIVER_VERSION;
    return SUCCESS;
}

static Status device_count(int *count) {
    if (!initialized) return refused(NOT_INITIALIZED, "cuDeviceGetCount", "cuInit was not called");
    *count = card_count;
    return SUCCESS;
}

static Status check_device(const char *call, int number) {
    if (!initialized) return refused(NOT_INITIALIZED, call, "cuInit was not called");
    return 0 <= number && number < card_count ? SUCCESS : refused(INVALID_DEVICE, call, "there is no such card");
}

static Status device_get(int *device, int number) {
    *device = number;
    return check_device("cuDeviceGet", number);
}

static Status device_name(char *name, int length, int device) {
    snprintf(name, (size_t)length, "no card %d", device);
    return check_device("cuDeviceGetName", device);
}

static Status device_uuid(char *uuid, int device) {
    memset(uuid, device + 1, 16);
    return check_device("cuDeviceGetUuid", device);
}

/* Those that do not depend on settings are an H100's; what is not listed here is 0. */
static Status device_attribute(int *value, int attribute, int device) {
    switch (attribute) {
        case 1: *value = MOST_THREADS_OF_BLOCK; break;
        case 2: case 3: *value = 1024; break; /* threads of a block along x, y */
        case 4: *value = 64; break;           /* along z */
        case 5: *value = MOST_BLOCKS_ALONG; break;
        case 6: case 7: *value = MOST_BLOCKS_ACROSS; break;
        case 8: *value = SHARED_BYTES; break;
        case 10: *value = 32; break;      /* threads of a warp */
        case 13: *value = 1980000; break; /* kHz */
        case 16: *value = 132; break;     /* multiprocessors */
        case 75: *value = capability_major; break;
        case 76: *value = capability_minor; break;
        case 87: *value = ratio; break;
        default: *value = 0;
    }
    return check_device("cuDeviceGetAttribute", device);
}

static Status context_retain(Handle *context, int device) {
    Status status = check_device("cuDevicePrimaryCtxRetain", device);
    if (status == SUCCESS) *context = &cards[device];
    return status;
}

static Status context_release(int device) { return check_device("cuDevicePrimaryCtxRelease", device); }

/* Memory ----------------------------------------------------------------------------------------------------------- */

static size_t bytes_free(const Card *card) {
    return free_bytes_at_start > card->bytes_held ? free_bytes_at_start - card->bytes_held : 0;
}

static Status mem_info(size_t *free_now, size_t *total) {
    Status status = check_context("cuMemGetInfo");
    if (status != SUCCESS) return status;
    pthread_mutex_lock(&mutex);
    *free_now = bytes_free(current());
    *total = total_bytes;
    pthread_mutex_unlock(&mutex);
    return SUCCESS;
}

static size_t whole_pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

static Status allocated(Card *card, size_t bytes, Address *address) {
    size_t needed = whole_pages(bytes) + PAGE; /* a page apart from the next one */
    if (bytes > bytes_free(card) || bytes > largest_allocation || !card->first_address ||
        needed > ADDRESSES_OF_CARD - card->addresses_given)
        return OUT_OF_MEMORY;
    uintptr_t start = card->first_address + card->addresses_given;
    if (mprotect((void *)start, whole_pages(bytes), PROT_READ | PROT_WRITE) ||
        !hold(DEVICE_MEMORY, start, bytes, card))
        return OUT_OF_MEMORY;
    memset((void *)start, fill, bytes);
    card->addresses_given += needed;
    card->bytes_held += bytes;
    *address = start;
    return SUCCESS;
}

static Status mem_alloc(Address *address, size_t bytes) {
    Status status = check_context("cuMemAlloc");
    if (status != SUCCESS) return status;
    if (!bytes) return refused(INVALID_VALUE, "cuMemAlloc", "0 bytes");
    pthread_mutex_lock(&mutex);
    status = allocated(current(), bytes, address);
    pthread_mutex_unlock(&mutex);
    if (status != SUCCESS) return refused(status, "cuMemAlloc", "out of memory");
    tell("cuMemAlloc card=%d address=%#llx bytes=%zu", current()->number, *address, bytes);
    return SUCCESS;
}

static Status mem_free(Address address) {
    if (!address) return SUCCESS;
    pthread_mutex_lock(&mutex);
    Held *memory = find(DEVICE_MEMORY, address);
    if (memory) {
        tell("cuMemFree card=%d address=%#llx bytes=%zu", memory->card->number, address, memory->bytes);
        memory->card->bytes_held -= memory->bytes;
        /* Its pages go back, its addresses stay out of use. */
        mmap((void *)memory->start, whole_pages(memory->bytes), PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        let_go(memory);
    }
    pthread_mutex_unlock(&mutex);
    return memory ? SUCCESS : refused(INVALID_VALUE, "cuMemFree", "no memory of a card begins there");
}

static Status host_alloc(void **start, size_t bytes, unsigned flags) {
    (void)flags;
    Status status = check_context("cuMemHostAlloc");
    if (status != SUCCESS) return status;
    pthread_mutex_lock(&mutex);
    if (posix_memalign(start, PAGE, bytes ? bytes : 1))
        status = OUT_OF_MEMORY;
    else if (!hold(HOST_MEMORY, (uintptr_t)*start, bytes, current())) {
        free(*start);
        status = OUT_OF_MEMORY;
    }
    pthread_mutex_unlock(&mutex);
    if (status != SUCCESS) return refused(status, "cuMemHostAlloc", "out of memory");
    memset(*start, fill, bytes);
    tell("cuMemHostAlloc address=%p bytes=%zu", *start, bytes);
    return SUCCESS;
}

static Status host_free(void *start) {
    pthread_mutex_lock(&mutex);
    Held *memory = find(HOST_MEMORY, (uintptr_t)start);
    if (memory) {
        tell("cuMemFreeHost address=%p bytes=%zu", start, memory->bytes);
        let_go(memory);
        free(start);
    }
    pthread_mutex_unlock(&mutex);
    return memory ? SUCCESS : refused(INVALID_VALUE, "cuMemFreeHost", "no page-locked memory begins there");
}

/* Copies and streams ----------------------------------------------------------------------------------------------- */

/* The default streams have small numbers for handles, and belong to the current card. Under the mutex. */
static bool stream_is_known(Handle stream) { return (uintptr_t)stream <= 2 || find(STREAM, (uintptr_t)stream); }

static Card *card_of_stream(Handle stream) {
    Held *known = find(STREAM, (uintptr_t)stream);
    return known ? known->card : current();
}

static const char *wrong_with_copy(Address on_card, const void *on_host, size_t bytes, Handle stream) {
    Held *there = find_around(DEVICE_MEMORY, on_card), *here = find_around(HOST_MEMORY, (uintptr_t)on_host);
    if (!bytes) return NULL;
    if (!there) return "the card's address is in no allocation";
    if (!ends_within(there, on_card, bytes)) return "it goes beyond the card's allocation";
    if (!on_host) return "no address on the host";
    if (here && !ends_within(here, (uintptr_t)on_host, bytes)) return "it goes beyond the page-locked memory";
    return stream_is_known(stream) ? NULL : "there is no such stream";
}

static Status copied(const char *call, Address on_card, void *on_host, size_t bytes, Handle stream, bool to_card) {
    Status status = check_context(call);
    if (status != SUCCESS) return status;
    pthread_mutex_lock(&mutex);
    const char *why = wrong_with_copy(on_card, on_host, bytes, stream);
    bool locked = find_around(HOST_MEMORY, (uintptr_t)on_host);
    if (!why && to_card) memcpy((void *)on_card, on_host, bytes);
    if (!why && !to_card && (copies_to_locked || !locked)) memcpy(on_host, (void *)on_card, bytes);
    pthread_mutex_unlock(&mutex);
    if (why) return refused(INVALID_VALUE, call, why);
    tell("%s card=%d address=%#llx bytes=%zu stream=%p locked=%d", call, current()->number, on_card, bytes, stream,
         locked);
    return SUCCESS;
}

static Status copy_in(Address to, const void *from, size_t bytes) {
    return copied("cuMemcpyHtoD", to, (void *)from, bytes, NULL, true);
}

static Status copy_out(void *to, Address from, size_t bytes) {
    return copied("cuMemcpyDtoH", from, to, bytes, NULL, false);
}

static Status copy_in_async(Address to, const void *from, size_t bytes, Handle stream) {
    return copied("cuMemcpyHtoDAsync", to, (void *)from, bytes, stream, true);
}

static Status copy_out_async(void *to, Address from, size_t bytes, Handle stream) {
    return copied("cuMemcpyDtoHAsync", from, to, bytes, stream, false);
}

/* Where a pointer lies: what numba-cuda and cuda-core ask of addresses that they are given. */
static Status pointer_attribute(void *value, int attribute, Address address) {
    pthread_mutex_lock(&mutex);
    Held *memory = find_around(DEVICE_MEMORY, address);
    Card *card = memory ? memory->card : NULL;
    pthread_mutex_unlock(&mutex);
    if (!card) return refused(INVALID_VALUE, "cuPointerGetAttribute", "the address is in no allocation");
    switch (attribute) {
        case 1: *(Handle *)value = card; break;
        case 2: *(int *)value = 2; break; /* memory of a device */
        case 3: *(Address *)value = address; break;
        case 9: *(int *)value = card->number; break;
        default: return refused(INVALID_VALUE, "cuPointerGetAttribute", "an attribute that is not known here");
    }
    return SUCCESS;
}

/* A new stream or event of the current card. */
static Status handle_made(const char *call, Kind kind, Handle *handle) {
    Status status = check_context(call);
    if (status != SUCCESS) return status;
    pthread_mutex_lock(&mutex);
    *handle = (Handle)(last_handle += 16);
    Held *made = hold(kind, (uintptr_t)*handle, 0, current());
    pthread_mutex_unlock(&mutex);
    if (!made) return refused(OUT_OF_MEMORY, call, "too many things are held");
    tell("%s card=%d handle=%p", call, current()->number, *handle);
    return SUCCESS;
}

static Status handle_gone(const char *call, Kind kind, Handle handle) {
    pthread_mutex_lock(&mutex);
    Held *known = find(kind, (uintptr_t)handle);
    if (known) let_go(known);
    pthread_mutex_unlock(&mutex);
    if (!known) return refused(INVALID_HANDLE, call, "it is not there, or no more");
    tell("%s handle=%p", call, handle);
    return SUCCESS;
}

static Status stream_create(Handle *stream, unsigned flags) {
    (void)flags;
    return handle_made("cuStreamCreate", STREAM, stream);
}

static Status stream_destroy(Handle stream) { return handle_gone("cuStreamDestroy", STREAM, stream); }

/* All work is done when it is queued: there is nothing to wait for. */
static Status stream_checked(const char *call, Handle stream) {
    pthread_mutex_lock(&mutex);
    bool known = stream_is_known(stream);
    pthread_mutex_unlock(&mutex);
    if (!known) return refused(INVALID_HANDLE, call, "there is no such stream");
    tell("%s stream=%p", call, stream);
    return SUCCESS;
}

static Status stream_synchronize(Handle stream) { return stream_checked("cuStreamSynchronize", stream); }

static Status stream_query(Handle stream) { return stream_checked("cuStreamQuery", stream); }

static Status stream_wait_event(Handle stream, Handle event, unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&mutex);
    Held *known = find(EVENT, (uintptr_t)event);
    pthread_mutex_unlock(&mutex);
    if (!known) return refused(INVALID_HANDLE, "cuStreamWaitEvent", "there is no such event");
    return stream_checked("cuStreamWaitEvent", stream);
}

static Status stream_context(Handle stream, Handle *context) {
    pthread_mutex_lock(&mutex);
    *context = card_of_stream(stream);
    pthread_mutex_unlock(&mutex);
    return *context ? SUCCESS : refused(INVALID_CONTEXT, "cuStreamGetCtx", "no context is current in this thread");
}

static Status stream_context_or_green(Handle stream, Handle *context, Handle *green) {
    *green = NULL;
    return stream_context(stream, context);
}

static Status event_create(Handle *event, unsigned flags) {
    (void)flags;
    return handle_made("cuEventCreate", EVENT, event);
}

static Status event_destroy(Handle event) { return handle_gone("cuEventDestroy", EVENT, event); }

static Status event_record(Handle event, Handle stream) {
    pthread_mutex_lock(&mutex);
    Held *known = find(EVENT, (uintptr_t)event);
    bool together = known && stream_is_known(stream) && known->card == card_of_stream(stream);
    if (together) {
        known->recorded = true;
        clock_gettime(CLOCK_MONOTONIC, &known->time);
    }
    pthread_mutex_unlock(&mutex);
    return together ? SUCCESS : refused(INVALID_HANDLE, "cuEventRecord", "event and stream are not of one card");
}

static Status event_checked(Handle event) {
    pthread_mutex_lock(&mutex);
    bool known = find(EVENT, (uintptr_t)event);
    pthread_mutex_unlock(&mutex);
    return known ? SUCCESS : refused(INVALID_HANDLE, "cuEventSynchronize", "there is no such event");
}

static Status event_elapsed(float *milliseconds, Handle from, Handle to) {
    pthread_mutex_lock(&mutex);
    Held *first = find(EVENT, (uintptr_t)from), *last = find(EVENT, (uintptr_t)to);
    bool recorded = first && last && first->recorded && last->recorded;
    if (recorded)
        *milliseconds = (float)((last->time.tv_sec - first->time.tv_sec) * 1e3 +
                                (last->time.tv_nsec - first->time.tv_nsec) * 1e-6);
    pthread_mutex_unlock(&mutex);
    return recorded ? SUCCESS : refused(INVALID_HANDLE, "cuEventElapsedTime", "an event was not recorded");
}

/* Kernels ---------------------------------------------------------------------------------------------------------- */

/* Offset and size of every parameter, from the attributes that the linker left of a kernel. */
static bool read_parameters(Kernel *kernel, const unsigned char *at, size_t bytes) {
    enum { WITH_BYTES = 4, PARAMETER = 0x17 };
    const unsigned char *end = at + bytes;
    while (at + 4 <= end) {
        unsigned format = at[0], attribute = at[1], length;
        length = format == WITH_BYTES ? (unsigned)(at[2] | at[3] << 8) : 0;
        if (format == WITH_BYTES && attribute == PARAMETER) {
            /* 32 bits nothing, 16 its number, 16 its offset, 32 of which the upper 14 are its size */
            uint16_t number, offset;
            uint32_t packed;
            memcpy(&number, at + 8, sizeof number);
            memcpy(&offset, at + 10, sizeof offset);
            memcpy(&packed, at + 12, sizeof packed);
            if (number >= MOST_PARAMETERS) return false;
            kernel->offset[number] = offset;
            kernel->size[number] = (uint16_t)(packed >> 18);
            if (number >= kernel->parameters) kernel->parameters = number + 1;
        }
        at += 4 + length;
    }
    return true;
}

/* The one kernel in a cubin, which is an ELF file; false where there is none. */
static bool read_cubin(Kernel *kernel, const unsigned char *cubin) {
    static const char prefix[] = ".nv.info.";
    const Elf64_Ehdr *header = (const void *)cubin;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64) return false;
    const Elf64_Shdr *sections = (const void *)(cubin + header->e_shoff);
    const char *names = (const char *)cubin + sections[header->e_shstrndx].sh_offset;
    for (int i = 0; i < header->e_shnum; i++) {
        const char *name = names + sections[i].sh_name;
        if (strncmp(name, prefix, strlen(prefix))) continue;
        snprintf(kernel->name, sizeof kernel->name, "%s", name + strlen(prefix));
        return read_parameters(kernel, cubin + sections[i].sh_offset, sections[i].sh_size);
    }
    return false;
}

static Status library_load(Handle *library, const void *code, void *jit_options, void *jit_values, unsigned jit_count,
                           void *options, void *values, unsigned count) {
    (void)jit_options, (void)jit_values, (void)jit_count, (void)options, (void)values, (void)count;
    Kernel *kernel = calloc(1, sizeof *kernel);
    if (!kernel) return OUT_OF_MEMORY;
    if (!read_cubin(kernel, code)) {
        free(kernel);
        return refused(INVALID_IMAGE, "cuLibraryLoadData", "no cubin with a kernel");
    }
    kernel->loaded = true;
    *library = kernel;
    tell("cuLibraryLoadData kernel=%s parameters=%d", kernel->name, kernel->parameters);
    return SUCCESS;
}

/* It is kept, so that a launch that comes too late is found out. */
static Status library_unload(Handle library) {
    ((Kernel *)library)->loaded = false;
    return SUCCESS;
}

static Status library_kernel(Handle *kernel, Handle library, const char *name) {
    if (strncmp(name, ((Kernel *)library)->name, LONGEST_NAME - 1))
        return refused(NOT_FOUND, "cuLibraryGetKernel", "the library has no kernel of this name");
    *kernel = library;
    return SUCCESS;
}

static Status parameter_info(Handle handle, size_t number, size_t *offset, size_t *size) {
    Kernel *kernel = handle;
    if (number >= (size_t)kernel->parameters) return INVALID_VALUE; /* so its callers find the end */
    *offset = kernel->offset[number];
    *size = kernel->size[number];
    return SUCCESS;
}

static Status kernel_attribute(int *value, int attribute, Handle kernel, int device) {
    (void)kernel;
    *value = attribute == 0 ? MOST_THREADS_OF_BLOCK : 0;
    return check_device("cuKernelGetAttribute", device);
}

typedef struct {
    unsigned grid[3], block[3], shared_bytes;
    Handle stream;
    void *attributes;
    unsigned attribute_count;
} Launch;

static const char *wrong_with_shape(const Launch *launch) {
    const unsigned *grid = launch->grid, *block = launch->block;
    for (int i = 0; i < 3; i++)
        if (!grid[i] || !block[i]) return "a dimension is 0";
    if (grid[0] > MOST_BLOCKS_ALONG || grid[1] > MOST_BLOCKS_ACROSS || grid[2] > MOST_BLOCKS_ACROSS)
        return "the grid is too large";
    if (block[0] > 1024 || block[1] > 1024 || block[2] > 64 || block[0] * block[1] * block[2] > MOST_THREADS_OF_BLOCK)
        return "the block is too large";
    return launch->shared_bytes > SHARED_BYTES ? "too much shared memory" : NULL;
}

/* Reads every parameter, as a driver does; an address of a card must be one that a kernel there may use. */
static const char *wrong_with_parameters(const Kernel *kernel, void **parameters) {
    for (int i = 0; i < kernel->parameters; i++) {
        unsigned char value[1 << 14];
        uintptr_t address = 0;
        if (!parameters || !parameters[i]) return "a parameter has no value";
        memcpy(value, parameters[i], kernel->size[i]);
        if (kernel->size[i] == sizeof address) memcpy(&address, value, sizeof address);
        if (!card_of_address(address)) continue;
        if (!find_around(DEVICE_MEMORY, address)) return "a parameter points to memory that was freed";
        if (card_of_address(address) != current()) return "a parameter points to another card's memory";
    }
    return NULL;
}

static Status launch_kernel(const Launch *launch, Handle handle, void **parameters, void **packed) {
    static const char call[] = "cuLaunchKernel";
    const Kernel *kernel = handle;
    Status status = check_context(call);
    if (status != SUCCESS) return status;
    if (!kernel->loaded) return refused(INVALID_HANDLE, call, "the kernel was unloaded");
    if (packed) return refused(INVALID_VALUE, call, "parameters in one buffer are not served here");
    const char *why = wrong_with_shape(launch);
    if (why) return refused(INVALID_VALUE, call, why);
    pthread_mutex_lock(&mutex);
    bool here = stream_is_known(launch->stream) && card_of_stream(launch->stream) == current();
    why = wrong_with_parameters(kernel, parameters);
    pthread_mutex_unlock(&mutex);
    if (!here) return refused(INVALID_HANDLE, call, "the stream is not one of the current card");
    if (why) return refused(ILLEGAL_ADDRESS, call, why);
    int last = kernel->parameters - 1;
    tell("%s card=%d kernel=%s grid=%u,%u,%u block=%u,%u,%u shared=%u stream=%p parameters=%d bytes=%d", call,
         current()->number, kernel->name, launch->grid[0], launch->grid[1], launch->grid[2], launch->block[0],
         launch->block[1], launch->block[2], launch->shared_bytes, launch->stream, kernel->parameters,
         last < 0 ? 0 : kernel->offset[last] + kernel->size[last]);
    return SUCCESS;
}

/* How functions are found ------------------------------------------------------------------------------------------ */

static Status error_name(Status status, const char **name) {
    switch (status) {
        case SUCCESS: *name = "CUDA_SUCCESS"; break;
        case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
        case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
        case NOT_INITIALIZED: *name = "CUDA_ERROR_NOT_INITIALIZED"; break;
        case NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
        case INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
        case INVALID_IMAGE: *name = "CUDA_ERROR_INVALID_IMAGE"; break;
        case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; break;
        case INVALID_HANDLE: *name = "CUDA_ERROR_INVALID_HANDLE"; break;
        case NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
        case ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
        default: *name = NULL; return INVALID_VALUE;
    }
    return SUCCESS;
}

__attribute__((visibility("default"))) Status cuGetProcAddress_v2(const char *name, void **function, int version,
                                                                  uint64_t flags, int *found);

/* By name and the CUDA that it is asked for; of functions that changed, the newer first. */
static const struct {
    const char *name;
    int since;
    void *function;
} FUNCTIONS[] = {
    {"cuCtxGetCurrent", 0, ctx_get},
    {"cuCtxGetDevice", 13000, ctx_get_device_of},
    {"cuCtxGetDevice", 0, ctx_get_device},
    {"cuCtxPopCurrent", 0, ctx_pop},
    {"cuCtxPushCurrent", 0, ctx_push},
    {"cuCtxSetCurrent", 0, ctx_set},
    {"cuCtxSynchronize", 0, ctx_synchronize},
    {"cuDeviceGet", 0, device_get},
    {"cuDeviceGetAttribute", 0, device_attribute},
    {"cuDeviceGetCount", 0, device_count},
    {"cuDeviceGetName", 0, device_name},
    {"cuDeviceGetUuid", 0, device_uuid},
    {"cuDevicePrimaryCtxRelease", 0, context_release},
    {"cuDevicePrimaryCtxRetain", 0, context_retain},
    {"cuDriverGetVersion", 0, driver_version},
    {"cuEventCreate", 0, event_create},
    {"cuEventDestroy", 0, event_destroy},
    {"cuEventElapsedTime", 0, event_elapsed},
    {"cuEventQuery", 0, event_checked},
    {"cuEventRecord", 0, event_record},
    {"cuEventSynchronize", 0, event_checked},
    {"cuGetErrorName", 0, error_name},
    {"cuGetErrorString", 0, error_name},
    {"cuGetProcAddress", 0, cuGetProcAddress_v2},
    {"cuInit", 0, init},
    {"cuKernelGetAttribute", 0, kernel_attribute},
    {"cuKernelGetParamInfo", 0, parameter_info},
    {"cuLaunchKernelEx", 0, launch_kernel},
    {"cuLibraryGetKernel", 0, library_kernel},
    {"cuLibraryLoadData", 0, library_load},
    {"cuLibraryUnload", 0, library_unload},
    {"cuMemAlloc", 0, mem_alloc},
    {"cuMemFree", 0, mem_free},
    {"cuMemFreeHost", 0, host_free},
    {"cuMemGetInfo", 0, mem_info},
    {"cuMemHostAlloc", 0, host_alloc},
    {"cuMemcpyDtoH", 0, copy_out},
    {"cuMemcpyDtoHAsync", 0, copy_out_async},
    {"cuMemcpyHtoD", 0, copy_in},
    {"cuMemcpyHtoDAsync", 0, copy_in_async},
    {"cuPointerGetAttribute", 0, pointer_attribute},
    {"cuStreamCreate", 0, stream_create},
    {"cuStreamDestroy", 0, stream_destroy},
    {"cuStreamGetCtx", 12050, stream_context_or_green},
    {"cuStreamGetCtx", 0, stream_context},
    {"cuStreamQuery", 0, stream_query},
    {"cuStreamSynchronize", 0, stream_synchronize},
    {"cuStreamWaitEvent", 0, stream_wait_event},
};

/* The only symbol that is looked up by the loader: bindings ask it for all others. */
Status cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found) {
    (void)flags;
    pthread_once(&once, read_settings);
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
        if (!strcmp(FUNCTIONS[i].name, name) && FUNCTIONS[i].since <= version) {
            *function = FUNCTIONS[i].function;
            if (found) *found = 0;
            return SUCCESS;
        }
    *function = NULL;
    if (found) *found = 1;
    return NOT_FOUND;
}
