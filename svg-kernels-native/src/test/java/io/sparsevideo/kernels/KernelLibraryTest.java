package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.KernelLibrary.Kind;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class KernelLibraryTest {

  @TempDir Path temp;

  @Test
  void theProcessHasOneLibraryOfAKind() {
    KernelLibrary library = KernelLibrary.load(Kind.HOST);
    assertSame(library, KernelLibrary.load(Kind.HOST));
    assertTrue(library.toString().contains(library.origin()), library.toString());
    assertTrue(library.buildInfo().startsWith("host, openmp"), library.buildInfo());
  }

  @Test
  void aFileOrItsFolderMayBeNamed() throws IOException {
    Path folder = bundle(temp).extract(Kind.HOST.bundle());
    KernelLibrary byFolder = KernelLibrary.load(Kind.HOST, folder);
    KernelLibrary byFile = KernelLibrary.load(Kind.HOST, folder.resolve(Kind.HOST.fileName()));
    assertEquals(byFolder.origin(), byFile.origin());
    assertNotSame(byFolder, KernelLibrary.load(Kind.HOST));
  }

  @Test
  void theChosenPathIsTheOnlyOneTried() {
    String before = System.getProperty(KernelLibrary.PATH_PROPERTY);
    System.setProperty(KernelLibrary.PATH_PROPERTY, temp.resolve("nowhere").toString());
    try {
      KernelLoadException e =
          assertThrows(KernelLoadException.class, () -> KernelLibrary.load(Kind.CUDA));
      assertEquals(List.of(temp.resolve("nowhere") + ": there is no such file"), e.attempts());
      assertTrue(e.getMessage().contains(KernelLibrary.PATH_PROPERTY), e.getMessage());
    } finally {
      if (before == null) {
        System.clearProperty(KernelLibrary.PATH_PROPERTY);
      } else {
        System.setProperty(KernelLibrary.PATH_PROPERTY, before);
      }
    }
  }

  @Test
  void everyPlaceTriedIsNamedWithItsReason() throws IOException {
    try (URLClassLoader empty = new URLClassLoader(new URL[0], null)) {
      KernelLoadException e =
          assertThrows(
              KernelLoadException.class,
              () -> KernelLibrary.search(Kind.CUDA, new NativeBundle(empty, temp)));
      assertEquals(2, e.attempts().size(), e.getMessage());
      assertTrue(
          e.attempts().getFirst().startsWith("class path: there is no resource native/"),
          e.getMessage());
      assertEquals(
          "system library path: there is no " + Kind.CUDA.fileName(), e.attempts().getLast());
    }
  }

  @Test
  void aFolderThatCannotBeWrittenIsNamed() throws IOException {
    Path resources = Files.createDirectories(temp.resolve(NativeBundle.resourceFolder()));
    Files.writeString(resources.resolve(Kind.CUDA.fileName()), "never loaded");
    Path file = Files.writeString(temp.resolve("file"), "not a folder");
    try (URLClassLoader loader = new URLClassLoader(new URL[] {temp.toUri().toURL()}, null)) {
      KernelLoadException e =
          assertThrows(
              KernelLoadException.class,
              () -> KernelLibrary.search(Kind.CUDA, new NativeBundle(loader, file)));
      assertTrue(e.attempts().getFirst().contains(file.toString()), e.getMessage());
      assertTrue(e.attempts().getFirst().contains(KernelLibrary.CACHE_PROPERTY), e.getMessage());
    }
  }

  @Test
  void theLinkersReasonIsPassedOn() throws IOException {
    Path folder = bundle(temp).extract(Kind.HOST.bundle());
    byte[] content = Files.readAllBytes(folder.resolve(Kind.HOST.fileName()));
    content[18] = (byte) 0xb7; // the ELF header's machine: AArch64
    Path foreign = Files.write(temp.resolve("foreign.so"), content);
    KernelLoadException e =
        assertThrows(KernelLoadException.class, () -> KernelLibrary.load(Kind.HOST, foreign));
    assertTrue(e.attempts().getFirst().contains("AARCH64"), e.getMessage());
  }

  @Test
  void aLibraryOfSomethingElseIsRefused() throws IOException {
    Path folder = bundle(temp).extract(Kind.HOST.bundle());
    KernelLoadException e =
        assertThrows(
            KernelLoadException.class,
            () -> KernelLibrary.load(Kind.HOST, folder.resolve("libgomp.so.1")));
    assertTrue(e.getMessage().contains("not a library of svg_kernels.h"), e.getMessage());
  }

  private static NativeBundle bundle(Path cache) {
    return new NativeBundle(KernelLibrary.class.getClassLoader(), cache);
  }
}
