package io.sparsevideo.cuda.blas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.cuda.FakeCuda;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import java.util.jar.JarOutputStream;
import java.util.zip.ZipEntry;
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
    assertTrue(e.getMessage().contains("org.bytedeco:cuda-redist-cublas"), e.getMessage());
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
    CublasLt found = CublasLt.search(ClassLoader.getPlatformClassLoader(), temp, Set.of(temp));
    assertTrue(found.origin().endsWith("libcublasLt.so.13"), found.origin());
  }

  /** As JavaCPP's presets have it: extracted once, again when it was damaged. */
  @Test
  void aJarOnTheClassPathIsExtracted() throws IOException {
    Path library = FakeCuda.library("fake_cublaslt");
    Path jar = temp.resolve("cuda-redist.jar");
    try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar))) {
      out.putNextEntry(new ZipEntry("org/bytedeco/cuda/linux-x86_64/libcublasLt.so.13"));
      Files.copy(library, out);
    }
    Path cache = temp.resolve("cache");
    try (URLClassLoader loader = new URLClassLoader(new URL[] {jar.toUri().toURL()}, null)) {
      Path file = Path.of(CublasLt.search(loader, cache, Set.of()).origin());
      assertTrue(file.startsWith(cache), file + "");
      assertEquals(-1, Files.mismatch(library, file));

      FileTime old = FileTime.from(Instant.EPOCH);
      Files.setLastModifiedTime(file, old);
      assertEquals(file + "", CublasLt.search(loader, cache, Set.of()).origin());
      assertEquals(old, Files.getLastModifiedTime(file));

      String name = "libcublasLt.so.13";
      Path other = temp.resolve("other"); // whose file is not loaded
      Path damaged = CublasJar.extract(loader, name, other).orElseThrow();
      Files.writeString(damaged, "short");
      CublasJar.extract(loader, name, other);
      assertEquals(-1, Files.mismatch(library, damaged));

      Path blocked = Files.createFile(temp.resolve("file"));
      assertThrows(IOException.class, () -> CublasJar.extract(loader, name, blocked));
    }
  }

  /** The newest is none, the next one is tried. */
  @Test
  void whatCannotBeLoadedIsPassedOver() throws IOException {
    Path folder = Files.createDirectories(temp.resolve("org/bytedeco/cuda/linux-x86_64"));
    Files.writeString(folder.resolve("libcublasLt.so.13"), "no library");
    Path file = folder.resolve("libcublasLt.so.12");
    Files.createSymbolicLink(file, FakeCuda.library("fake_cublaslt"));
    try (URLClassLoader loader = new URLClassLoader(new URL[] {temp.toUri().toURL()}, null)) {
      assertEquals(file + "", CublasLt.search(loader, temp, Set.of()).origin());
    }
  }

  /** As a class loader of an application server may have them. */
  @Test
  void resourcesOfOtherSchemesAreRefused() {
    ClassLoader loader =
        new ClassLoader(null) {
          @Override
          protected URL findResource(String name) {
            URLStreamHandler handler =
                new URLStreamHandler() {
                  @Override
                  protected URLConnection openConnection(URL url) {
                    return new URLConnection(url) {
                      @Override
                      public void connect() {}
                    };
                  }
                };
            try {
              return URL.of(URI.create("bundle://1/" + name), handler);
            } catch (MalformedURLException e) {
              throw new AssertionError(e);
            }
          }
        };
    IOException e =
        assertThrows(IOException.class, () -> CublasJar.extract(loader, "libcublasLt.so.13", temp));
    assertTrue(e.getMessage().endsWith("is neither a file nor in a jar"), e.getMessage());
  }

  @Test
  void aFolderOnTheClassPathServesAsItIs() throws IOException {
    Path folder = Files.createDirectories(temp.resolve("org/bytedeco/cuda/linux-x86_64"));
    Path file = folder.resolve("libcublasLt.so.12");
    Files.createSymbolicLink(file, FakeCuda.library("fake_cublaslt"));
    try (URLClassLoader loader = new URLClassLoader(new URL[] {temp.toUri().toURL()}, null)) {
      assertEquals(file + "", CublasLt.search(loader, temp, Set.of()).origin());
    }
  }
}
