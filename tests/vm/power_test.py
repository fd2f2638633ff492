"""The power goes while a store imports and a union writes: what was said to be
done is there after the next boot, and nothing is torn.

The machine is killed, not shut down: what its kernel had not written to the disk
is gone, as in a power cut. (The disk itself keeps what it was given, in order.)
"""
import random
import re

import machine

CUTS = 4

# `done N` is said once both are acknowledged: a named layer, and a file of the
# union that was synced after a copy-up, a rename and a whiteout.
WRITE = """
    set -e
    cd /var/tmp
    mkdir -p base upper mnt tree
    if [ ! -e base/made ]; then
      for i in $(seq 200); do echo "old $i" >base/$i; echo $i >base/gone$i; done
      head -c 3000000 /dev/urandom >base/large
      touch base/made; sync
    fi
    ufs mount -o fsync=strict --upper upper ./base mnt
    for i in $(seq FIRST 200); do
      echo "layer $i" >tree/file; echo $i >tree/only$i
      head -c 100000 /dev/urandom >tree/random
      ufs layer import tree --store store --name layer:$i >/dev/null
      echo "new $i" >>mnt/$i; sync mnt/$i
      mv mnt/$i mnt/moved$i; rm mnt/gone$i; sync mnt
      printf "$i" | dd of=mnt/large bs=1 seek=$((i * 10000)) conv=notrunc,fsync 2>/dev/null
      echo "done $i"
    done
"""

CHECK = """
    cd /var/tmp
    fail() { echo "broken: $*"; exit 1; }
    ufs store check --store store || fail check
    ufs layer verify --store store || fail verify
    ufs mount --upper upper ./base mnt || fail mount
    for i in $(seq LAST); do
      ufs layer show layer:$i --store store >/dev/null || fail layer $i
      [ "$(cat mnt/moved$i)" = "old $i
new $i" ] || fail contents $i
      [ ! -e mnt/$i ] || fail name $i
      [ ! -e mnt/gone$i ] || fail whiteout $i
      [ "$(dd if=mnt/large bs=1 skip=$((i * 10000)) count=${#i} 2>/dev/null)" = $i ] || fail write $i
    done
    # The rest of it is as it was.
    for i in $(seq 200); do
      [ "$(head -n 1 mnt/$i 2>/dev/null || head -n 1 mnt/moved$i)" = "old $i" ] || fail file $i
    done
    [ $(stat -c %s mnt/large) = 3000000 ] || fail size
    ufs umount mnt
"""


class PowerCut(machine.MachineTest):
    def test_what_was_acknowledged_is_there(self):
        generator = random.Random(1)
        last = 0
        for cut in range(CUTS):
            goal = last + generator.randint(2, 5)
            code, said = self.machine.boot(WRITE.replace("FIRST", str(last + 1)), 900,
                                           cut_at=f"done {goal}\\b(.|\\n){{{generator.randint(0, 3)}}}")
            self.assertIsNone(code, said[-2000:])
            numbers = [int(n) for n in re.findall(r"^done (\d+)", said, re.M)]
            self.assertIn(goal, numbers, said[-2000:])
            last = max(numbers)
            self.run_script(CHECK.replace("LAST", str(last)), 900)


if __name__ == "__main__":
    machine.main()
