import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaUnavailableException;
import org.junit.jupiter.api.Test;

class JCudaInteropTest {

  @Test
  void kernelsWorkOnMemoryAndStreamOfJCuda() {
    try {
      CudaDriver.load();
    } catch (CudaUnavailableException e) {
      assumeTrue(false, "no CUDA here: " + e.attempts());
    }
    double difference = JCudaInterop.run();
    assertTrue(difference < 1e-5, "the largest difference is " + difference);
  }
}
