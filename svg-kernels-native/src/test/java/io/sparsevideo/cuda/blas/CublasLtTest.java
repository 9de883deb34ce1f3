package io.sparsevideo.cuda.blas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.cuda.FakeCuda;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CublasLtTest {

  @TempDir Path temp;

  @Test
  void aFileIsLoadedAndDescribed() {
    Path file = FakeCuda.library("fake_cublaslt");
    assertEquals("cuBLASLt 13.2.3 from " + file, CublasLt.load(file).toString());
  }

  @Test
  void aFolderIsSearchedForTheNewestVersion() throws IOException {
    Path file = FakeCuda.library("fake_cublaslt");
    Files.createSymbolicLink(temp.resolve("libcublasLt.so.12"), file);
    assertEquals(temp.resolve("libcublasLt.so.12") + "", CublasLt.load(temp).origin());
    Files.createSymbolicLink(temp.resolve("libcublasLt.so.13"), file);
    assertEquals(temp.resolve("libcublasLt.so.13") + "", CublasLt.load(temp).origin());
  }

  @Test
  void whatIsMissingIsNamedWithTheRemedy() {
    CublasUnavailableException e =
        assertThrows(CublasUnavailableException.class, () -> CublasLt.load(temp));
    assertEquals(
        List.of(
            temp.resolve("libcublasLt.so.13") + ": there is no such file",
            temp.resolve("libcublasLt.so.12") + ": there is no such file"),
        e.attempts());
    assertTrue(e.getMessage().contains(CublasLt.PATH_PROPERTY), e.getMessage());
    assertTrue(e.getMessage().contains("install a CUDA toolkit"), e.getMessage());
  }

  @Test
  void aLibraryOfSomethingElseIsRefused() {
    Path other = FakeCuda.library("fake_cuda");
    CublasUnavailableException e =
        assertThrows(CublasUnavailableException.class, () -> CublasLt.load(other));
    assertTrue(e.attempts().getFirst().contains("not a cuBLASLt"), e.getMessage());
  }

  @Test
  void toolkitsAreSearched() throws IOException {
    Path folder = Files.createDirectory(temp.resolve("lib64"));
    Path file = FakeCuda.library("fake_cublaslt");
    Files.createSymbolicLink(folder.resolve("libcublasLt.so.13"), file);
    CublasLt found = CublasLt.search(Set.of(temp));
    assertTrue(found.origin().endsWith("libcublasLt.so.13"), found.origin());
  }
}
