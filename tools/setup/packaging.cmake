# What `cmake --install` puts in place beside the binary, and the .deb that
# `cpack` makes of it all.

include(GNUInstallDirs)

set(UFS_PROGRAMS ufs ufs-oci)
# All that an installation needs, which tools/quickstart builds.
add_custom_target(programs DEPENDS ${UFS_PROGRAMS})
install(TARGETS ${UFS_PROGRAMS} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# mount(8) looks for its helpers in /sbin alone, so `mount -t fuse.ufs` wants the
# prefix /usr.
file(RELATIVE_PATH ufs_from_sbin ${CMAKE_INSTALL_FULL_SBINDIR} ${CMAKE_INSTALL_FULL_BINDIR}/ufs)
file(CREATE_LINK ${ufs_from_sbin} ${CMAKE_BINARY_DIR}/mount.fuse.ufs SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/mount.fuse.ufs DESTINATION ${CMAKE_INSTALL_SBINDIR})
file(CREATE_LINK ufs-mount.8 ${CMAKE_BINARY_DIR}/mount.fuse.ufs.8 SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/mount.fuse.ufs.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(DIRECTORY tools/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
install(DIRECTORY tools/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 FILES_MATCHING PATTERN "*.5")
install(DIRECTORY tools/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 FILES_MATCHING PATTERN "*.8")
install(FILES tools/completion/ufs.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ufs)
install(FILES tools/completion/_ufs DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES tools/completion/ufs.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ufs)
set(CPACK_PACKAGE_VENDOR "The ufs authors")
set(CPACK_PACKAGE_CONTACT "The ufs authors <ufs@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Union filesystem for containers")
set(CPACK_PACKAGE_DESCRIPTION
"ufs mounts a stack of read-only layers under one writable upper layer as a
single tree, through FUSE, with copy-up and whiteouts. It takes the mount
options of overlayfs and fuse-overlayfs and works for root and for ordinary
users in a user namespace.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# fusermount3, for mounts by ordinary users.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "fuse3")
# mount.fuse.ufs is found by mount(8) of this package.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "mount")
include(CPack)
