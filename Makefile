# Fronts CMake. The two commands to know: make demo, make check.
#
#   make              the library and the tool, in build/release
#   make demo         explain some photos with two small networks; prints the path of a picture
#   make check        the quick tests, as users build it and under ASan + UBSan
#   make check-long   these, the slow ones, and the quick ones under TSan
#   make install      to PREFIX, under DESTDIR if set
#
# demo and check first see that the Debian packages they need are there.

PREFIX ?= /usr/local

release debug asan tsan:
	cmake --preset $@
	cmake --build --preset $@

demo:
	scripts/install-deps demo
	cmake --preset release
	cmake --build --preset release --target xai
	scripts/demo

check:
	scripts/install-deps check
	$(MAKE) release
	ctest --preset release -L quick
	$(MAKE) asan
	ctest --preset asan -L quick

check-long: check tsan
	scripts/install-deps long
	ctest --preset release -L long
	ctest --preset tsan -L quick

install: release
	DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

clean:
	rm -rf build

.PHONY: release debug asan tsan demo check check-long install clean
