package io.sparsevideo.schedulers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.sparsevideo.checkpoint.ConfigReader;
import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class UniPcFlowSchedulerTest {

  @TempDir Path folder;

  private static UniPcFlowScheduler.Config config(double shift, int order) {
    return new UniPcFlowScheduler.Config(
        1000, shift, order, UniPcFlowScheduler.SolverType.BH2, Set.of());
  }

  @ParameterizedTest
  @CsvSource({"3, 4", "3, 30", "3, 50", "5, 4", "5, 30", "5, 50"})
  void followsTheRecordedRun(int shift, int steps) throws URISyntaxException {
    try (Recording recording = new Recording("wan_shift" + shift + "." + steps)) {
      recording.assertFollowedBy(config(shift, 2), steps);
    }
  }

  /** Few steps, other orders, B(h), uncorrected steps and timesteps, from the same public code. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "one step",
        "two steps",
        "three steps",
        "order 1",
        "order 3",
        "order 3 at three steps",
        "order 3 at twenty steps",
        "no corrector at 0 and 2",
        "half trained steps",
        "bh1"
      })
  void followsThePublicImplementation(String variant) throws IOException {
    JsonNode expected;
    try (InputStream in = getClass().getResourceAsStream("unipc-variants.json")) {
      expected = new ObjectMapper().readTree(in).required(variant);
    }
    Path file = folder.resolve("scheduler_config.json");
    Files.writeString(file, expected.required("config").toString());
    ConfigReader config = ConfigReader.read(file);
    float[] start = new float[15];
    for (int i = 0; i < start.length; i++) {
      start[i] = -2.5f + 5 * i / 14f;
    }
    float[] timesteps = floats(expected.required("timesteps"));
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler = SchedulerConfig.of(config).newScheduler(timesteps.length, manager)) {
      assertArrayEquals(timesteps, scheduler.timesteps());
      NDArray x = manager.create(start);
      for (int i = 0; i < timesteps.length; i++) {
        x = Recording.standInStep(scheduler, i, x);
        if (i == expected.required("after").asInt()) {
          Recording.assertClose(variant, floats(expected.required("sample")), x.toFloatArray());
        }
      }
      // The public code divides by zero at the end of bh1; this one must not.
      for (float value : x.toFloatArray()) {
        assertTrue(Float.isFinite(value), "last sample " + x);
      }
    }
  }

  private static float[] floats(JsonNode array) {
    return new ObjectMapper().convertValue(array, float[].class);
  }

  @Test
  void remembersNoMoreThanItNeedsAndFreesIt() {
    try (NDManager manager = NDManager.newBaseManager()) {
      UniPcFlowScheduler scheduler = (UniPcFlowScheduler) config(3, 2).newScheduler(9, manager);
      NDArray x = manager.ones(new Shape(7));
      List<NDArray> remembered = new ArrayList<>();
      for (int i = 0; i < 9; i++) {
        x = Recording.standInStep(scheduler, i, x);
        remembered.addAll(scheduler.memory().getManagedArrays());
        assertTrue(scheduler.memory().getManagedArrays().size() <= 3, "step " + i);
      }
      scheduler.close();
      assertFalse(remembered.isEmpty());
      assertTrue(remembered.stream().allMatch(NDArray::isReleased));
      assertEquals(List.of(x), manager.getManagedArrays());
    }
  }

  @Test
  void changesNoArgument() {
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler = config(3, 2).newScheduler(3, manager)) {
      NDArray sample = manager.create(new float[] {1, -2, 3});
      for (int i = 0; i < 3; i++) {
        NDArray output = manager.create(new float[] {.5f, 0, i});
        NDArray after = scheduler.step(output, i, sample);
        assertArrayEquals(new float[] {.5f, 0, i}, output.toFloatArray());
        assertArrayEquals(new float[] {1, -2, 3}, sample.toFloatArray());
        assertFalse(after.contentEquals(sample));
      }
    }
  }

  @Test
  void takesHalfPrecisionModelOutput() {
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler = config(3, 2).newScheduler(1, manager)) {
      NDArray output = manager.create(new float[] {.5f, -4}).toType(DataType.FLOAT16, true);
      NDArray after = scheduler.step(output, 0, manager.create(new float[] {1, 2}));
      assertEquals(DataType.FLOAT32, after.getDataType());
      assertArrayEquals(new float[] {.5f, 6}, after.toFloatArray(), 1e-5f);
      assertFalse(output.isReleased());
    }
  }

  @Test
  void refusesStepsOutOfTurn() {
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler = config(3, 2).newScheduler(2, manager)) {
      NDArray x = manager.ones(new Shape(3));
      assertMessage("step 1 is out of turn: the next step is 0", () -> scheduler.step(x, 1, x));
      scheduler.step(x, 0, x);
      scheduler.step(x, 1, x);
      assertMessage("step 2 is out of turn: the run is over", () -> scheduler.step(x, 2, x));
    }
  }

  @Test
  void refusesWrongShapesAndTypesAndStaysUsable() {
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler = config(3, 2).newScheduler(2, manager)) {
      NDArray x = manager.ones(new Shape(3));
      assertMessage("(4)", () -> scheduler.step(x, 0, manager.ones(new Shape(4))));
      assertMessage(
          "is float64", () -> scheduler.step(x, 0, manager.ones(new Shape(3), DataType.FLOAT64)));
      assertEquals(x.getShape(), scheduler.step(x, 0, x).getShape());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, -4})
  void refusesLessThanOneStep(int steps) {
    try (NDManager manager = NDManager.newBaseManager()) {
      assertMessage("at least 1, is " + steps, () -> config(3, 2).newScheduler(steps, manager));
    }
  }

  private static void assertMessage(String part, Runnable call) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call::run);
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }
}
