"""An upper on a file system without extended attributes."""
import ctypes
import errno
import os
import shutil

import harness
from harness import CliTest, run

RENAME_EXCHANGE = 2


class PlainUpper(CliTest):
    def setUp(self):
        super().setUp()
        place = self.make_dir("ram")
        run("mount", "-t", "ramfs", "ramfs", place)
        self.write("base/dir/low", "low")
        self.write("base/emptied/low", "low")
        self.write("base/dir/sub/deep", "deep")

    def mount_over(self, whiteout, options=""):
        done = self.ufs("mount", "--upper", self.at("ram/" + whiteout), "-o",
                        "whiteout=" + whiteout + options, self.base, self.mnt)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no extended attributes", done.stderr)

    def names(self, name):
        return sorted(os.listdir(self.at("mnt/" + name)))

    def shown(self):
        """Path -> contents, of files; path -> None, of directories."""
        shown = {}
        for parent, directories, files in os.walk(self.mnt):
            for name in directories + files:
                path = os.path.join(parent, name)
                shown[os.path.relpath(path, self.mnt)] = (
                    self.read(path) if name in files else None)
        return shown

    def rename(self, old, new):
        os.rename(self.at("mnt/" + old), self.at("mnt/" + new))

    def for_each_form(self, change, check):
        """`check` holds after `change`, and still after a remount."""
        for whiteout in ("char", "aufs"):
            with self.subTest(whiteout):
                self.mount_over(whiteout)
                change()
                check()
                self.umount()
                self.mount_over(whiteout)
                check()
                self.umount()
                self.assertEqual(os.listdir(
                    self.at(f"ram/{whiteout}.work/ufs/tmp")), [])

    def test_files(self):
        def change():
            self.write("mnt/new", "new")
            with open(self.at("mnt/both"), "a") as file:
                file.write("+")
            os.chmod(self.at("mnt/dir/low"), 0o600)
            os.rename(self.at("mnt/only-base"), self.at("mnt/dir/moved"))

        def check():
            self.assertEqual(self.names(""), ["both", "dir", "emptied", "new"])
            self.assertEqual(self.names("dir"), ["low", "moved", "sub"])
            self.assertEqual(self.read("mnt/both"), "base+")
            self.assertEqual(self.read("mnt/dir/moved"), "1")
            self.assertEqual(os.stat(self.at("mnt/dir/low")).st_mode, 0o100600)

        self.for_each_form(change, check)

    def test_others_than_root_use_what_is_there(self):
        def change():
            self.write("mnt/dir/sub/new", "new")
            os.chmod(self.at("mnt/dir/low"), 0o640)

        def check():
            for name, code in ("dir/sub/new", 0), ("dir/sub/deep", 0), ("dir/low", 1):
                read = run("cat", self.at("mnt/" + name), user=harness.USER,
                           group=harness.USER, extra_groups=[])
                self.assertEqual(read.returncode, code, read.stderr)
                self.assertEqual("Permission denied" in read.stderr, code == 1, read.stderr)

        self.for_each_form(change, check)

    def test_a_directory_in_the_place_of_a_deleted_one_hides_it(self):
        def change():
            os.remove(self.at("mnt/emptied/low"))
            os.rmdir(self.at("mnt/emptied"))
            self.write("mnt/emptied/new", "new")

        self.for_each_form(change, lambda: self.assertEqual(
            self.names("emptied"), ["new"]))

    def test_a_directory_of_a_layer_moves(self):
        before = {}

        def change():
            before.update(id=os.stat(self.at("mnt/dir")).st_ino,
                          time=os.stat(self.at("mnt/dir")).st_mtime_ns)
            self.rename("dir", "moved")

        def check():
            self.assertEqual(self.shown(), {
                "both": "base", "only-base": "1", "emptied": None, "emptied/low": "low",
                "moved": None, "moved/low": "low", "moved/sub": None,
                "moved/sub/deep": "deep"})
            info = os.stat(self.at("mnt/moved"))
            self.assertEqual((info.st_ino, info.st_mtime_ns),
                             (before["id"], before["time"]))

        self.for_each_form(change, check)

    def test_a_moved_directory_goes_on_as_any_other(self):
        """Each change by a mount of its own."""
        def moves_again():
            self.rename("moved", "again")
            self.write("mnt/again/new", "new")
            os.remove(self.at("mnt/again/sub/deep"))

        def moves_into_another():
            self.rename("emptied", "other")
            self.rename("again", "other/inside")
            self.rename("other/inside/sub", "other/inside/sub2")

        def moves_back():
            self.rename("other/inside", "dir")
            self.rename("other", "emptied")
            self.rename("dir/sub2", "dir/sub")

        rest = {"both": "base", "only-base": "1"}
        steps = [
            (lambda: self.rename("dir", "moved"),
             {"emptied": None, "emptied/low": "low", "moved": None, "moved/low": "low",
              "moved/sub": None, "moved/sub/deep": "deep"}),
            (moves_again,
             {"emptied": None, "emptied/low": "low", "again": None, "again/low": "low",
              "again/new": "new", "again/sub": None}),
            (moves_into_another,
             {"other": None, "other/low": "low", "other/inside": None,
              "other/inside/low": "low", "other/inside/new": "new",
              "other/inside/sub2": None}),
            (moves_back,
             {"emptied": None, "emptied/low": "low", "dir": None, "dir/low": "low",
              "dir/new": "new", "dir/sub": None}),
        ]
        for whiteout in ("char", "aufs"):
            with self.subTest(whiteout):
                self.mount_over(whiteout)
                for change, shows in steps:
                    change()
                    self.assertEqual(self.shown(), {**rest, **shows})
                    self.umount()
                    self.mount_over(whiteout)
                    self.assertEqual(self.shown(), {**rest, **shows})
                self.umount()

    def test_directories_of_a_layer_change_places(self):
        def change():
            libc = ctypes.CDLL(None, use_errno=True)
            old, new = (self.at("mnt/" + name).encode() for name in ("dir", "emptied"))
            self.assertEqual(libc.renameat2(-100, old, -100, new, RENAME_EXCHANGE), 0,
                             os.strerror(ctypes.get_errno()))

        def check():
            self.assertEqual(self.names("dir"), ["low"])
            self.assertEqual(self.names("emptied"), ["low", "sub"])

        self.for_each_form(change, check)

    def test_a_moved_directory_that_goes_leaves_nothing(self):
        def change():
            self.rename("dir", "moved")
            shutil.rmtree(self.at("mnt/moved"))
            os.mkdir(self.at("mnt/holds"))
            self.rename("emptied", "holds/moved")
            shutil.rmtree(self.at("mnt/holds"))
            for name in ("dir", "emptied", "moved", "holds", "holds/moved"):
                os.mkdir(self.at("mnt/" + name))

        def check():
            for name in ("dir", "emptied", "moved", "holds/moved"):
                self.assertEqual(self.names(name), [], name)
            self.assertEqual(self.names("holds"), ["moved"])

        self.for_each_form(change, check)

    def test_a_directory_takes_the_place_of_a_moved_one(self):
        def change():
            self.rename("emptied", "moved")
            os.remove(self.at("mnt/moved/low"))
            self.rename("dir", "moved")

        def check():
            self.assertEqual(self.names(""), ["both", "moved", "only-base"])
            self.assertEqual(self.names("moved"), ["low", "sub"])
            self.assertEqual(self.read("mnt/moved/sub/deep"), "deep")

        self.for_each_form(change, check)

    def test_what_says_where_it_was_is_no_file(self):
        name = "moved/.wh..wh.ufs.redirect"

        def check():
            self.assertEqual(self.names("moved"), ["low", "sub"])
            self.assertFalse(os.path.lexists(self.at("mnt/" + name)))
            with self.assertRaises(OSError) as raised:
                self.write("mnt/" + name, "/emptied")
            self.assertEqual(raised.exception.errno, errno.EPERM)

        self.for_each_form(lambda: self.rename("dir", "moved"), check)

    def test_a_damaged_one_is_told(self):
        self.mount_over("aufs")
        self.rename("dir", "moved")
        self.umount()
        self.write("ram/aufs/moved/.wh..wh.ufs.redirect", "../..")
        self.mount_over("aufs")
        with self.assertRaises(OSError) as raised:
            self.names("moved")
        self.assertEqual(raised.exception.errno, errno.EIO)

    def test_one_too_long_to_be_read_is_not_written(self):
        def go_down(name, make=lambda name: None):
            os.chdir(self.at(name))
            for _ in range(18):
                make("a" * 250)
                os.chdir("a" * 250)

        self.addCleanup(os.chdir, os.getcwd())
        go_down("base", os.mkdir)
        os.mkdir("last")
        self.mount_over("aufs")
        go_down("mnt")
        with self.assertRaises(OSError) as raised:
            os.rename("last", "moved")
        self.assertEqual(raised.exception.errno, errno.ENAMETOOLONG)
        self.assertEqual(os.listdir(), ["last"])
        os.chdir(self.dir)

    def test_who_wants_no_redirects_has_none(self):
        for value in ("off", "follow", "nofollow"):
            self.mount_over("aufs", ",redirect_dir=" + value)
            with self.assertRaises(OSError) as raised:
                self.rename("dir", "moved")
            self.assertEqual(raised.exception.errno, errno.EXDEV)
            self.umount()

    def commit(self, *arguments):
        done = self.ufs("commit", "--store", self.at("store"), *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)

    def mount_layers(self, *names):
        self.mount("--store", self.at("store"), "--ro", self.base, *names, self.mnt)

    def test_what_moved_is_in_the_difference_and_in_a_layer(self):
        for whiteout in ("char", "aufs"):
            with self.subTest(whiteout):
                upper = self.at("ram/" + whiteout)
                self.mount_over(whiteout)
                self.rename("dir", "moved")
                self.write("mnt/moved/new", "new")
                self.rename("moved/sub", "sub")
                told = self.ufs("diff", self.mnt).stdout
                self.assertIn("R /dir -> /moved\n", told)
                self.assertIn("R /dir/sub -> /sub\n", told)
                self.assertIn("A /moved/new\n", told)
                shown = self.shown()
                self.commit("--keep-upper", self.mnt, "--name", whiteout + "-kept")
                self.umount()
                self.assertEqual(
                    self.ufs("diff", "--layer", self.base, upper).stdout, told)
                # Who does not name the layers hears that it was moved.
                refused = self.ufs("commit", "--store", self.at("store"), upper)
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn("was moved", refused.stderr)
                self.commit("--layer", self.base, upper, "--name", whiteout)
                for name in (whiteout, whiteout + "-kept"):
                    self.mount_layers(name)
                    self.assertEqual(self.shown(), shown)
                    self.umount()

    def test_an_upper_that_begins_afresh_keeps_what_moved(self):
        for whiteout in ("char", "aufs"):
            with self.subTest(whiteout):
                upper, name = self.at("ram/" + whiteout), whiteout + "-afresh"
                self.mount_over(whiteout)
                self.rename("dir", "moved")
                self.write("mnt/moved/new", "new")
                shown = self.shown()
                self.commit(self.mnt, "--name", name)
                self.assertEqual(os.listdir(upper), [])
                self.assertEqual(self.shown(), shown)
                self.rename("moved", "again")
                again = self.shown()
                self.umount()
                self.mount_over(whiteout)
                self.assertEqual(self.shown(), again)
                self.commit(self.mnt, "--name", name + "2")
                self.umount()
                self.mount_layers(name)
                self.assertEqual(self.shown(), shown)
                self.umount()
                self.mount_layers(name, name + "2")
                self.assertEqual(self.shown(), again)
                self.umount()

    def test_nothing_takes_the_name_of_a_mark(self):
        self.mount_over("char")
        os.symlink("/dir", self.at("mnt/link"))
        os.mkdir(self.at("mnt/new"))
        for name in ("link", "new"):
            with self.assertRaises(PermissionError):
                os.rename(self.at("mnt/" + name), self.at("mnt/emptied/.wh..wh.ufs.redirect"))
        self.assertEqual(self.names("emptied"), ["low"])

    def test_a_moved_directory_read_only(self):
        self.mount_over("char")
        os.rename(self.at("mnt/dir"), self.at("mnt/moved"))
        self.umount()
        self.mount("-o", f"ro,lowerdir={self.base},upperdir={self.at('ram/char')},"
                   f"workdir={self.at('ram/char.work')}", self.mnt)
        self.assertEqual(self.read("mnt/moved/low"), "low")
        self.assertFalse(os.path.exists(self.at("mnt/dir")))

    def assert_took_its_place(self, moved):
        self.assertEqual(self.names("emptied"), ["file"])
        self.assertFalse(os.path.exists(self.at("mnt/" + moved)))

    def test_rename_over_an_emptied_directory(self):
        def change():
            os.remove(self.at("mnt/emptied/low"))
            self.write("mnt/new/file", "new")
            os.rename(self.at("mnt/new"), self.at("mnt/emptied"))

        self.for_each_form(change, lambda: self.assert_took_its_place("new"))

    def test_rename_over_an_emptied_directory_off_a_name_of_a_layer(self):
        def change():
            os.remove(self.at("mnt/emptied/low"))
            shutil.rmtree(self.at("mnt/dir"))
            self.write("mnt/dir/file", "new")
            os.rename(self.at("mnt/dir"), self.at("mnt/emptied"))

        self.for_each_form(change, lambda: self.assert_took_its_place("dir"))


if __name__ == "__main__":
    harness.main()
