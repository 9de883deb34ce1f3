package io.sparsevideo.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** The drivers that tests run on. */
enum TestDriver {
  /** {@link FakeCuda}: two devices, no GPU. */
  FAKE {
    @Override
    CudaDriver open() {
      return FakeCuda.driver();
    }
  },
  /** The machine's own; tests are skipped, with the reason, where there is none. */
  NVIDIA {
    @Override
    CudaDriver open() {
      try {
        return CudaDriver.load();
      } catch (CudaUnavailableException e) {
        assumeTrue(false, "no CUDA here: " + e.attempts());
        throw e;
      }
    }
  };

  /** Loads the driver, or ends the test as skipped. */
  abstract CudaDriver open();
}
