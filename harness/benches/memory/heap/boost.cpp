// boost WORK SECONDS SEED: the workloads of the benchmark `memory` with Boost.Interprocess, one line of JSON.
//
// WORK is the number of blocks that live (0: each is freed at once), or `remote`: this process allocates, a child frees. The loops
// are those of work.rs and remote.rs.

#include <algorithm>
#include <atomic>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sched.h>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace ipc = boost::interprocess;

static const uint64_t BATCH = 4096, SPACE_BYTES = 512ull << 20, PLACES = 4096, AT_ONCE = 64, PATIENCE_S = 60;

struct Draw {
    uint64_t state;
    explicit Draw(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15ull | 1) {}
    uint64_t number() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    uint64_t below(uint64_t end) { return (number() >> 32) * end >> 32; }
    uint64_t bytes() { return 16 + below(241); }
};

static double processor_ns() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static double now_ns() {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] static void fail(const char *what) {
    std::fprintf(stderr, "%s\n", what);
    std::_Exit(1);
}

// Its name is removed as soon as nobody has to open it any more: whoever fails leaves nothing behind.
struct Segment {
    std::string name = "pso-memory-boost-" + std::to_string(getpid());
    ipc::managed_shared_memory memory{ipc::create_only, name.c_str(), SPACE_BYTES};
    void forget_name() { ipc::shared_memory_object::remove(name.c_str()); }
};

static uint64_t *make(ipc::managed_shared_memory &memory, uint64_t bytes, uint64_t stamp) {
    auto *block = static_cast<uint64_t *>(memory.allocate(bytes));
    *block = stamp;
    return block;
}

template <typename Batch> static void timed(double seconds, uint64_t &operations, double &ns, Batch batch) {
    for (double time : {seconds / 8 * 1e9, seconds * 1e9}) {
        double start = processor_ns();
        operations = 0;
        do {
            batch();
            operations += BATCH;
            ns = processor_ns() - start;
        } while (ns < time);
    }
}

static void alone(uint64_t live, double seconds, uint64_t seed) {
    Segment segment;
    segment.forget_name();
    auto &memory = segment.memory;
    Draw draw(seed);
    uint64_t operations = 0, stamp = 0;
    double ns = 0;
    std::vector<std::pair<uint64_t *, uint64_t>> blocks;
    if (live == 0) {
        timed(seconds, operations, ns, [&] {
            for (uint64_t number = 0; number < BATCH; number++)
                memory.deallocate(make(memory, draw.bytes(), number));
        });
    } else {
        for (; stamp < live; stamp++)
            blocks.emplace_back(make(memory, draw.bytes(), stamp), stamp);
        auto replace = [&] {
            for (uint64_t number = 0; number < BATCH; number++) {
                auto &place = blocks[draw.below(live)];
                memory.deallocate(place.first);
                stamp++;
                place = {make(memory, draw.bytes(), stamp), stamp};
            }
        };
        for (uint64_t done = 0; done < live; done += BATCH)
            replace();
        timed(seconds, operations, ns, replace);
    }
    for (auto &block : blocks) {
        if (*block.first != block.second)
            fail("a block is not what it was");
        memory.deallocate(block.first);
    }
    if (!memory.all_memory_deallocated())
        fail("blocks are left");
    std::printf("{\"operations\": %llu, \"ns\": %.0f, \"live\": %zu}\n", (unsigned long long)operations, ns,
                blocks.size());
}

// As in remote.rs: each word that one writes and the other reads in a line of its own.
struct Ring {
    alignas(128) std::atomic<uint64_t> head{0};
    alignas(128) std::atomic<uint64_t> tail{0};
    alignas(128) std::atomic<uint64_t> state{0}; // 1: the consumer is there; 2: no more come
    alignas(128) std::atomic<uint64_t> places[PLACES];
};

template <typename Done> static void wait_for(Done done) {
    double patience = 0;
    for (uint64_t turn = 1; !done(); turn++) {
        if (turn % 256 == 0) {
            sched_yield();
            double now = now_ns();
            if (patience == 0)
                patience = now + PATIENCE_S * 1e9;
            else if (now > patience)
                fail("the other side does not go on");
        } else {
            __builtin_ia32_pause();
        }
    }
}

static void consume(const std::string &name) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ipc::managed_shared_memory memory(ipc::open_only, name.c_str());
    Ring *ring = memory.find<Ring>("ring").first;
    ring->state.store(1);
    for (uint64_t head = 0;;) {
        uint64_t tail = 0, state = 0;
        wait_for([&] {
            state = ring->state.load(std::memory_order_acquire);
            tail = ring->tail.load(std::memory_order_acquire);
            return tail != head || state == 2;
        });
        if (tail == head)
            return;
        while (head < tail) {
            for (uint64_t end = std::min(tail, head + AT_ONCE); head < end; head++) {
                uint64_t handle = ring->places[head % PLACES].load(std::memory_order_relaxed);
                auto *block = static_cast<uint64_t *>(memory.get_address_from_handle(handle));
                if (*block != head)
                    fail("a block is not what it was");
                memory.deallocate(block);
            }
            ring->head.store(head, std::memory_order_release);
        }
    }
}

static void remote(double seconds, uint64_t seed) {
    Segment segment;
    auto &memory = segment.memory;
    Ring *ring = memory.construct<Ring>("ring")();
    pid_t child = fork();
    if (child == 0) {
        consume(segment.name);
        std::_Exit(0);
    }
    wait_for([&] { return ring->state.load() == 1; });
    segment.forget_name();
    Draw draw(seed);
    double begin = now_ns(), start = 0, now = 0;
    uint64_t made = 0, before = 0;
    do {
        for (uint64_t batch = 0; batch < BATCH / AT_ONCE; batch++) {
            wait_for([&] { return made + AT_ONCE - ring->head.load(std::memory_order_acquire) <= PLACES; });
            for (uint64_t number = 0; number < AT_ONCE; number++, made++) {
                uint64_t *block = make(memory, draw.bytes(), made);
                ring->places[made % PLACES].store(memory.get_handle_from_address(block), std::memory_order_relaxed);
            }
            ring->tail.store(made, std::memory_order_release);
        }
        now = now_ns();
        if (start == 0 && now - begin >= seconds / 8 * 1e9) {
            start = now;
            before = made;
        }
    } while (start == 0 || now - start < seconds * 1e9);
    wait_for([&] { return ring->head.load(std::memory_order_acquire) == made; });
    double ns = now_ns() - start;
    ring->state.store(2);
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0)
        fail("the child failed");
    std::printf("{\"operations\": %llu, \"ns\": %.0f, \"live\": 0}\n", (unsigned long long)(made - before), ns);
}

int main(int count, char **arguments) {
    if (count != 4)
        fail("usage: boost LIVE|remote SECONDS SEED");
    double seconds = std::atof(arguments[2]);
    uint64_t seed = std::strtoull(arguments[3], nullptr, 10);
    if (std::strcmp(arguments[1], "remote") == 0)
        remote(seconds, seed);
    else
        alone(std::strtoull(arguments[1], nullptr, 10), seconds, seed);
    return 0;
}
