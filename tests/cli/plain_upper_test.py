"""An upper on a file system without extended attributes."""
import errno
import os

import harness
from harness import CliTest, run


class PlainUpper(CliTest):
    def setUp(self):
        super().setUp()
        place = self.make_dir("ram")
        run("mount", "-t", "ramfs", "ramfs", place)
        self.write("base/dir/low", "low")
        self.write("base/emptied/low", "low")

    def mount_over(self, whiteout):
        done = self.ufs("mount", "--upper", self.at("ram/" + whiteout), "-o",
                        "whiteout=" + whiteout, self.base, self.mnt)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no extended attributes", done.stderr)

    def names(self, name):
        return sorted(os.listdir(self.at("mnt/" + name)))

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
            self.assertEqual(self.names("dir"), ["low", "moved"])
            self.assertEqual(self.read("mnt/both"), "base+")
            self.assertEqual(self.read("mnt/dir/moved"), "1")
            self.assertEqual(os.stat(self.at("mnt/dir/low")).st_mode, 0o100600)

        self.for_each_form(change, check)

    def test_a_directory_in_the_place_of_a_deleted_one_hides_it(self):
        def change():
            os.remove(self.at("mnt/emptied/low"))
            os.rmdir(self.at("mnt/emptied"))
            self.write("mnt/emptied/new", "new")

        self.for_each_form(change, lambda: self.assertEqual(
            self.names("emptied"), ["new"]))

    def test_a_directory_of_a_layer_is_to_be_copied_by_who_moves_it(self):
        def change():
            with self.assertRaises(OSError) as raised:
                os.rename(self.at("mnt/dir"), self.at("mnt/moved"))
            self.assertEqual(raised.exception.errno, errno.EXDEV)

        self.for_each_form(change, lambda: self.assertEqual(
            self.names("dir"), ["low"]))

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
            os.remove(self.at("mnt/dir/low"))
            os.rmdir(self.at("mnt/dir"))
            self.write("mnt/dir/file", "new")
            os.rename(self.at("mnt/dir"), self.at("mnt/emptied"))

        self.for_each_form(change, lambda: self.assert_took_its_place("dir"))


if __name__ == "__main__":
    harness.main()
