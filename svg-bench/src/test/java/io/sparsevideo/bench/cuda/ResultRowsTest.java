package io.sparsevideo.bench.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ResultRowsTest {
  private static final Map<String, Object> DECODE = Map.of("frames", 81, "pass", "decode");

  private static Result peer(String benchmark, String pass, String name) {
    return Result.of(benchmark, Map.of("frames", 81, "pass", pass), 1).against(name, 6);
  }

  @Test
  void everyPeerOfTheWorkHasARow() {
    ResultRows rows =
        new ResultRows(
            List.of(
                peer("vae", "decode", "diffusers"),
                peer("vae", "encode", "diffusers"),
                peer("step", "decode", "PyTorch"),
                peer("vae", "decode", "diffusers, cudnn.benchmark")));
    Map<String, Object> params = Map.of("frames", 81, "pass", "decode", "part", "whole");
    Result whole = Result.of("vae", params, 2);
    List<Result> compared = rows.addCompared(whole, DECODE);
    assertEquals(
        List.of(whole.against("diffusers", 6), whole.against("diffusers, cudnn.benchmark", 6)),
        compared);
    assertEquals(3, compared.getFirst().ratio());
    assertEquals(compared, rows.results());
  }

  @Test
  void whatHasNoPeerIsOneRow() {
    ResultRows rows = new ResultRows(List.of(peer("vae", "encode", "diffusers")));
    Result decode = Result.of("vae", DECODE, 2);
    assertEquals(List.of(), rows.addCompared(decode, DECODE));
    rows.add(decode);
    assertEquals(List.of(decode, decode), rows.results());
  }
}
