// A CUDA driver of two devices without a GPU, for tests of io.sparsevideo.cuda: device memory is host memory, and
// streams run at once. It is as strict as the tests need: a call without the right current context, with a handle that
// was given back, or for more memory than a device has, fails as the driver's does. It counts how often the host waits,
// and refuses memory when told to (the functions fake_cuda_*).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <vector>

namespace {

enum Result {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kInvalidDevice = 101,
  kInvalidContext = 201,
  kInvalidHandle = 400,
  kNotReady = 600,
  kNoDevice = 100
};

constexpr int kDevices = 2;
constexpr size_t kTotalMemory = 1 << 30;

/// A pool keeps what is freed if its threshold allows; what it gives out again is one piece of it, never more.
struct Pool {
  uint64_t threshold = 0;
  uint64_t used = 0;
  uint64_t idle = 0;
};
struct Context {
  int retained = 0;
  bool unfinished = false;  // a stream was destroyed, whose work nobody has waited for
  size_t used = 0;
  Pool pool;
};
using Graph = std::vector<std::function<void()>>;
struct Stream {
  Context* context;
  Graph* capturing = nullptr;
};
struct Event {
  Context* context;
  bool timed;
  int time;  // 0: not recorded
};
struct Memory {
  Context* context;
  size_t bytes;
  bool pooled;
};

std::mutex mutex;
Context contexts[kDevices];
std::set<Stream*> streams;
std::set<Event*> events;
std::set<Graph*> graphs;
std::map<uintptr_t, Memory> memories;
std::set<void*> pinned;
int clock_ms = 0;
int64_t waits = 0;                         // of the host for the device
int64_t allocations = 0;                   // that were asked for
int64_t allowed = INT64_MAX, refused = 0;  // allocations that still succeed, and how many fail then
thread_local std::vector<Context*> current;

Context* now() { return current.empty() ? nullptr : current.back(); }

/// The memory that holds [address, address + bytes) of the current device.
bool holds(uintptr_t address, size_t bytes) {
  auto next = memories.upper_bound(address);
  if (next == memories.begin()) return false;
  const auto& [start, memory] = *--next;
  return memory.context == now() && address - start + bytes <= memory.bytes;
}

/// Why a call on a stream fails, or kSuccess.
Result usable(Stream* stream) {
  if (now() == nullptr) return kInvalidContext;
  if (stream == nullptr) return kSuccess;
  if (streams.count(stream) == 0) return kInvalidHandle;
  return stream->context == now() ? kSuccess : kInvalidContext;
}

Result allocate(uintptr_t* out, size_t bytes, Context* context, bool pooled) {
  if (bytes == 0) return kInvalidValue;
  allocations++;
  if (allowed > 0) {
    allowed--;
  } else if (refused > 0) {
    refused--;
    return kOutOfMemory;
  }
  if (pooled && bytes <= context->pool.idle) {
    context->pool.idle -= bytes;
    context->used -= bytes;
  }
  if (bytes > kTotalMemory - context->used) return kOutOfMemory;
  *out = reinterpret_cast<uintptr_t>(std::malloc(bytes));
  memories[*out] = {context, bytes, pooled};
  context->used += bytes;
  if (pooled) context->pool.used += bytes;
  return kSuccess;
}

Result release(uintptr_t address) {
  const auto found = memories.find(address);
  if (found == memories.end()) return kInvalidValue;
  const Memory memory = found->second;
  Pool& pool = memory.context->pool;
  if (memory.pooled) pool.used -= memory.bytes;
  if (memory.pooled && pool.used + pool.idle + memory.bytes <= pool.threshold) {
    pool.idle += memory.bytes;
  } else {
    memory.context->used -= memory.bytes;
  }
  std::free(reinterpret_cast<void*>(address));
  memories.erase(found);
  return kSuccess;
}

/// Runs work, or keeps it where the stream is captured.
Result run(Stream* stream, std::function<void()> work) {
  if (stream != nullptr && stream->capturing != nullptr) {
    stream->capturing->push_back(std::move(work));
  } else {
    work();
  }
  return kSuccess;
}

Result copy(void* target, const void* source, size_t bytes, const void* on_device, Stream* stream) {
  if (const Result result = usable(stream); result != kSuccess) return result;
  if (!holds(reinterpret_cast<uintptr_t>(on_device), bytes)) return kInvalidValue;
  return run(stream, [=] { std::memcpy(target, source, bytes); });
}

}  // namespace

#define LOCKED const std::lock_guard<std::mutex> lock(mutex)

extern "C" {

/// How often the host has waited for a stream, an event or a context.
int64_t fake_cuda_waits() {
  LOCKED;
  return waits;
}
/// How often memory was asked for.
int64_t fake_cuda_allocations() {
  LOCKED;
  return allocations;
}
/// After so many more allocations the next ones fail: `refusals` of them.
void fake_cuda_refuse(int64_t allocations, int64_t refusals) {
  LOCKED;
  allowed = allocations;
  refused = refusals;
}

int cuInit(unsigned) { return std::getenv("SVG_FAKE_CUDA_NO_DEVICE") != nullptr ? kNoDevice : kSuccess; }
int cuGetErrorName(int error, const char** name) {
  switch (error) {
    case kInvalidValue:
      *name = "CUDA_ERROR_INVALID_VALUE";
      return kSuccess;
    case kOutOfMemory:
      *name = "CUDA_ERROR_OUT_OF_MEMORY";
      return kSuccess;
    case kNoDevice:
      *name = "CUDA_ERROR_NO_DEVICE";
      return kSuccess;
    case kInvalidContext:
      *name = "CUDA_ERROR_INVALID_CONTEXT";
      return kSuccess;
    case kInvalidHandle:
      *name = "CUDA_ERROR_INVALID_HANDLE";
      return kSuccess;
    default:
      return kInvalidValue;
  }
}
int cuGetErrorString(int error, const char** text) {
  *text = error == kOutOfMemory ? "out of memory"
          : error == kNoDevice  ? "no CUDA-capable device is detected"
                                : "refused";
  return kSuccess;
}
int cuDriverGetVersion(int* version) { return *version = 13020, kSuccess; }
int cuDeviceGetCount(int* count) { return *count = kDevices, kSuccess; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal + 10, kSuccess; }
int cuDeviceGetName(char* name, int length, int device) {
  return std::snprintf(name, length, "Fake device %c", 'A' + device - 10), kSuccess;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  // Multiprocessors, L2 bytes, the compute capability's two numbers.
  const std::map<int, int> values = {{16, 7 + device - 10}, {38, 1 << 20}, {75, 9}, {76, 0}};
  const auto found = values.find(attribute);
  if (found == values.end()) return kInvalidValue;
  return *value = found->second, kSuccess;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = kTotalMemory, kSuccess; }
int cuDeviceGetDefaultMemPool(Pool** pool, int device) { return *pool = &contexts[device - 10].pool, kSuccess; }

int cuDevicePrimaryCtxRetain(Context** context, int device) {
  LOCKED;
  if (device < 10 || device >= 10 + kDevices) return kInvalidDevice;
  *context = &contexts[device - 10];
  (*context)->retained++;
  return kSuccess;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
  LOCKED;
  return contexts[device - 10].retained-- > 0 ? kSuccess : kInvalidContext;
}
int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
  LOCKED;
  return *flags = 0, *active = contexts[device - 10].retained > 0, kSuccess;
}
int cuCtxGetCurrent(Context** context) { return *context = now(), kSuccess; }
int cuCtxSetCurrent(Context* context) {
  if (!current.empty()) current.pop_back();
  if (context != nullptr) current.push_back(context);
  return kSuccess;
}
int cuCtxPushCurrent_v2(Context* context) { return current.push_back(context), kSuccess; }
int cuCtxPopCurrent_v2(Context** context) {
  if (current.empty()) return kInvalidContext;
  *context = now();
  current.pop_back();
  return kSuccess;
}
int cuCtxSynchronize() {
  LOCKED;
  waits++;
  if (now() == nullptr) return kInvalidContext;
  return now()->unfinished = false, kSuccess;
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
  LOCKED;
  if (now() == nullptr) return kInvalidContext;
  *total = kTotalMemory;
  *free = kTotalMemory - now()->used;
  return kSuccess;
}
int cuMemAlloc_v2(uintptr_t* memory, size_t bytes) {
  LOCKED;
  return now() == nullptr ? kInvalidContext : allocate(memory, bytes, now(), false);
}
int cuMemFree_v2(uintptr_t memory) {
  LOCKED;
  if (now() == nullptr) return kInvalidContext;
  const auto found = memories.find(memory);
  if (found != memories.end() && found->second.pooled && now()->unfinished) return kInvalidValue;
  return release(memory);
}
int cuMemAllocAsync(uintptr_t* memory, size_t bytes, Stream* stream) {
  LOCKED;
  const Result result = usable(stream);
  return result == kSuccess ? allocate(memory, bytes, now(), true) : result;
}
int cuMemFreeAsync(uintptr_t memory, Stream* stream) {
  LOCKED;
  const Result result = usable(stream);
  return result == kSuccess ? release(memory) : result;
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) {
  LOCKED;
  if (now() == nullptr) return kInvalidContext;
  if (flags != 1) return kInvalidValue;
  *memory = std::malloc(bytes);
  pinned.insert(*memory);
  return kSuccess;
}
int cuMemFreeHost(void* memory) {
  LOCKED;
  if (now() == nullptr) return kInvalidContext;
  if (pinned.erase(memory) == 0) return kInvalidValue;
  std::free(memory);
  return kSuccess;
}

int cuMemcpyHtoDAsync_v2(void* target, const void* source, size_t bytes, Stream* stream) {
  LOCKED;
  return copy(target, source, bytes, target, stream);
}
int cuMemcpyDtoHAsync_v2(void* target, const void* source, size_t bytes, Stream* stream) {
  LOCKED;
  return copy(target, source, bytes, source, stream);
}
int cuMemcpyDtoDAsync_v2(void* target, const void* source, size_t bytes, Stream* stream) {
  LOCKED;
  if (!holds(reinterpret_cast<uintptr_t>(source), bytes)) return kInvalidValue;
  return copy(target, source, bytes, target, stream);
}
int cuMemcpyHtoD_v2(void* target, const void* source, size_t bytes) {
  return cuMemcpyHtoDAsync_v2(target, source, bytes, nullptr);
}
int cuMemcpyDtoH_v2(void* target, const void* source, size_t bytes) {
  return cuMemcpyDtoHAsync_v2(target, source, bytes, nullptr);
}
int cuMemcpyDtoD_v2(void* target, const void* source, size_t bytes) {
  return cuMemcpyDtoDAsync_v2(target, source, bytes, nullptr);
}
int cuMemsetD8Async(uint8_t* target, uint8_t value, size_t count, Stream* stream) {
  LOCKED;
  if (const Result result = usable(stream); result != kSuccess) return result;
  if (!holds(reinterpret_cast<uintptr_t>(target), count)) return kInvalidValue;
  return run(stream, [=] { std::memset(target, value, count); });
}
int cuMemsetD32Async(uint32_t* target, uint32_t value, size_t count, Stream* stream) {
  LOCKED;
  if (const Result result = usable(stream); result != kSuccess) return result;
  if (!holds(reinterpret_cast<uintptr_t>(target), 4 * count)) return kInvalidValue;
  return run(stream, [=] {
    for (size_t i = 0; i < count; i++) target[i] = value;
  });
}

int cuMemPoolGetAttribute(Pool* pool, int attribute, uint64_t* value) {
  LOCKED;
  const uint64_t reserved = pool->used + pool->idle;
  return *value = attribute == 4 ? pool->threshold : attribute == 5 ? reserved : pool->used, kSuccess;
}
int cuMemPoolSetAttribute(Pool* pool, int attribute, const uint64_t* value) {
  LOCKED;
  if (attribute != 4) return kInvalidValue;
  return pool->threshold = *value, kSuccess;
}
int cuMemPoolTrimTo(Pool* pool, size_t) {
  LOCKED;
  for (Context& context : contexts) {
    if (&context.pool == pool) context.used -= pool->idle;
  }
  return pool->idle = 0, kSuccess;
}

int cuStreamCreate(Stream** stream, unsigned flags) {
  LOCKED;
  if (now() == nullptr) return kInvalidContext;
  if (flags != 1) return kInvalidValue;
  streams.insert(*stream = new Stream{now()});
  return kSuccess;
}
int cuStreamDestroy_v2(Stream* stream) {
  LOCKED;
  const Result result = usable(stream);
  if (result != kSuccess) return result;
  now()->unfinished = true;
  streams.erase(stream);
  delete stream;
  return kSuccess;
}
int cuStreamSynchronize(Stream* stream) {
  LOCKED;
  waits++;
  return usable(stream);
}
int cuStreamQuery(Stream* stream) {
  LOCKED;
  return usable(stream);
}
int cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
  LOCKED;
  return events.count(event) == 0 ? kInvalidHandle : usable(stream);
}

int cuStreamBeginCapture_v2(Stream* stream, int mode) {
  LOCKED;
  if (mode != 1) return kInvalidValue;
  stream->capturing = new Graph();
  return usable(stream);
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
  LOCKED;
  if (stream->capturing == nullptr) return kInvalidValue;
  graphs.insert(*graph = stream->capturing);
  stream->capturing = nullptr;
  return usable(stream);
}
int cuGraphInstantiateWithFlags(Graph** launchable, Graph* graph, uint64_t) {
  LOCKED;
  graphs.insert(*launchable = new Graph(*graph));
  return kSuccess;
}
int cuGraphDestroy(Graph* graph) {
  LOCKED;
  if (graphs.erase(graph) == 0) return kInvalidHandle;
  delete graph;
  return kSuccess;
}
int cuGraphExecDestroy(Graph* launchable) { return cuGraphDestroy(launchable); }
int cuGraphLaunch(Graph* launchable, Stream* stream) {
  LOCKED;
  if (graphs.count(launchable) == 0) return kInvalidHandle;
  for (const auto& work : *launchable) work();
  return usable(stream);
}

int cuEventCreate(Event** event, unsigned flags) {
  LOCKED;
  if (now() == nullptr) return kInvalidContext;
  events.insert(*event = new Event{now(), flags == 0, 0});
  return kSuccess;
}
int cuEventDestroy_v2(Event* event) {
  LOCKED;
  if (events.erase(event) == 0) return kInvalidHandle;
  delete event;
  return kSuccess;
}
int cuEventRecord(Event* event, Stream* stream) {
  LOCKED;
  if (events.count(event) == 0) return kInvalidHandle;
  if (event->context != now()) return kInvalidHandle;
  event->time = ++clock_ms;
  return usable(stream);
}
int cuEventSynchronize(Event* event) {
  LOCKED;
  waits++;
  return events.count(event) == 0 ? kInvalidHandle : kSuccess;
}
int cuEventQuery(Event* event) {
  LOCKED;
  return events.count(event) == 0 ? kInvalidHandle : kSuccess;
}
int cuEventElapsedTime(float* ms, Event* start, Event* end) {
  LOCKED;
  if (events.count(start) == 0 || events.count(end) == 0) return kInvalidHandle;
  if (!start->timed || !end->timed || start->time == 0 || end->time == 0) return kInvalidHandle;
  *ms = float(end->time - start->time);
  return kSuccess;
}

}  // extern "C"
