package io.sparsevideo.schedulers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.DiffusersFolder;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalDouble;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SchedulerConfigTest {
  private static final String UNIPC =
      """
      {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true,
       "prediction_type": "flow_prediction"}""";
  private static final String EULER = "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}";
  private static final String EDM = "{\"_class_name\": \"EDMEulerScheduler\"}";

  @TempDir Path folder;

  @Test
  void readsAWholePublishedConfig() throws URISyntaxException {
    Path checkpoint = Path.of(getClass().getResource("/golden/wan-t2v/checkpoint").toURI());
    assertEquals(
        new UniPcFlowScheduler.Config(1000, 5, 2, UniPcFlowScheduler.SolverType.BH2, Set.of()),
        SchedulerConfig.of(
            DiffusersFolder.open(checkpoint).config("scheduler", "scheduler_config.json")));
  }

  @Test
  void takesThePublicDefaultsForAbsentKeys() throws IOException {
    assertEquals(
        new UniPcFlowScheduler.Config(1000, 1, 2, UniPcFlowScheduler.SolverType.BH2, Set.of()),
        read(json(UNIPC)));
    assertEquals(new FlowMatchEulerScheduler.Config(1000, 1), read(json(EULER)));
    assertEquals(new EdmEulerScheduler.Config(0.002, 80, 0.5, 7, true), read(json(EDM)));
  }

  @Test
  void readsEveryKeyThatItKnows() throws IOException {
    ObjectNode uniPc = json(UNIPC);
    uniPc.put("num_train_timesteps", 500).put("flow_shift", 4.5).put("solver_order", 3);
    uniPc.put("solver_type", "bh1").putArray("disable_corrector").add(0).add(2);
    assertEquals(
        new UniPcFlowScheduler.Config(500, 4.5, 3, UniPcFlowScheduler.SolverType.BH1, Set.of(0, 2)),
        read(uniPc));
    assertEquals(
        new FlowMatchEulerScheduler.Config(2000, 7),
        read(json(EULER).put("num_train_timesteps", 2000).put("shift", 7)));
    assertEquals(
        new EdmEulerScheduler.Config(0.1, 20, 1, 3, false),
        read(
            json(EDM)
                .put("sigma_min", 0.1)
                .put("sigma_max", 20)
                .put("sigma_data", 1)
                .put("rho", 3)
                .put("final_sigmas_type", "sigma_min")));
  }

  @Test
  void changesTheFlowShift() throws IOException {
    for (String config : new String[] {UNIPC, EULER}) {
      SchedulerConfig shifted = read(json(config)).withFlowShift(5);
      assertEquals(OptionalDouble.of(5), shifted.flowShift());
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> shifted.withFlowShift(-1));
      assertTrue(e.getMessage().contains("-1.0"), e.getMessage());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "UNIPC | prediction_type | \"epsilon\"",
        "UNIPC | use_flow_sigmas | false",
        "UNIPC | predict_x0 | false",
        "UNIPC | lower_order_final | false",
        "UNIPC | thresholding | true",
        "UNIPC | final_sigmas_type | \"sigma_min\"",
        "UNIPC | use_karras_sigmas | true",
        "UNIPC | use_exponential_sigmas | true",
        "UNIPC | use_beta_sigmas | true",
        "UNIPC | use_dynamic_shifting | true",
        "UNIPC | shift_terminal | 0.1",
        "UNIPC | solver_p | {\"order\": 1}",
        "UNIPC | solver_type | \"heun\"",
        "UNIPC | solver_order | 4",
        "UNIPC | solver_order | 2.5",
        "UNIPC | flow_shift | 0",
        "UNIPC | flow_shift | \"5.0\"",
        "UNIPC | disable_corrector | [\"a\"]",
        "UNIPC | disable_corrector | 3",
        "UNIPC | num_train_timesteps | -10",
        "EULER | use_dynamic_shifting | true",
        "EULER | invert_sigmas | true",
        "EULER | stochastic_sampling | true",
        "EULER | use_karras_sigmas | 1",
        "EULER | shift_terminal | 0.1",
        "EULER | shift | -2",
        "EDM | sigma_schedule | \"exponential\"",
        "EDM | prediction_type | \"v_prediction\"",
        "EDM | final_sigmas_type | \"one\"",
        "EDM | sigma_min | 100",
        "EDM | sigma_data | 0",
        "EDM | rho | 0"
      })
  void refusesWhatItDoesNotSupportByNameAndValue(String base, String key, String value)
      throws IOException {
    ObjectNode config =
        json(
            switch (base) {
              case "UNIPC" -> UNIPC;
              case "EULER" -> EULER;
              default -> EDM;
            });
    JsonNode wrong = new ObjectMapper().readTree(value);
    config.set(key, wrong);
    CheckpointException e = assertThrows(CheckpointException.class, () -> read(config));
    assertTrue(e.getMessage().contains(key), e.getMessage());
    assertTrue(e.getMessage().contains(wrong.asText()), e.getMessage());
  }

  @ParameterizedTest
  @ValueSource(strings = {"{}", "{\"_class_name\": \"DDIMScheduler\"}"})
  void refusesUnknownClassesAndNamesTheKnown(String config) {
    CheckpointException e = assertThrows(CheckpointException.class, () -> read(json(config)));
    assertTrue(
        e.getMessage()
            .contains(
                "[EDMEulerScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler]"),
        e.getMessage());
  }

  private static ObjectNode json(String text) throws JsonProcessingException {
    return (ObjectNode) new ObjectMapper().readTree(text);
  }

  private SchedulerConfig read(JsonNode config) throws IOException {
    Path file = folder.resolve("scheduler_config.json");
    Files.writeString(file, config.toString());
    return SchedulerConfig.of(ConfigReader.read(file));
  }
}
