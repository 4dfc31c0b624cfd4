/**
 * The filter of system calls that xcopy puts on itself once it works: what it never needs any more, and what somebody who has got
 * into it would like. A list of what is denied, and not of what is allowed: the runtime uses others with each version.
 */
import { ClassicAssembler, EQUAL, HAS_BITS, LOAD_WORD } from "../filter/classic-assembler.ts";

/** What a mode still does. */
export interface StillDoes {
  /** Runs programs: the tools of netfilter, the shell of a guard. */
  runsPrograms: boolean;
  /** Attaches eBPF programs to interfaces that come later. */
  attaches: boolean;
  /** Loads eBPF programs for them. */
  loads: boolean;
}

type Architecture = "x64" | "arm64";

/** By name, the numbers on x86-64 and arm64 (asm/unistd_64.h, asm-generic/unistd.h); null: there is none. */
const NEVER: Record<string, [x64: number | null, arm64: number | null]> = {
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  kcmp: [312, 272],
  pidfd_getfd: [438, 438],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  swapon: [167, 224],
  swapoff: [168, 225],
  setns: [308, 268],
  unshare: [272, 97],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  reboot: [169, 142],
  open_by_handle_at: [304, 265],
  fanotify_init: [300, 262],
  userfaultfd: [323, 282],
  perf_event_open: [298, 241],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  mknod: [133, null],
  mknodat: [259, 33],
  acct: [163, 89],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  adjtimex: [159, 171],
  clock_adjtime: [305, 266],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  syslog: [103, 116],
  vhangup: [153, 58],
  lookup_dcookie: [212, 18],
  iopl: [172, null],
  ioperm: [173, null],
  modify_ldt: [154, null],
  uselib: [134, null],
};
const RUN: typeof NEVER = { execve: [59, 221], execveat: [322, 281] };
const BPF: [x64: number, arm64: number] = [321, 280];
const CLONE: typeof BPF = [56, 220];
const CLONE3 = 435;

/** The commands of bpf(2) that are allowed: look-ups, changes and removals in maps, also of many elements at once. */
const MAP_COMMANDS = [1, 2, 3, 4, 21, 24, 25, 26, 27];
/** BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_OBJ_GET_INFO_BY_FD, BPF_LINK_CREATE. */
const ATTACH_COMMANDS = [8, 9, 15, 28];
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NAMESPACES = 0x7e02_0000;

/** struct seccomp_data: the arguments are 64 bits each, in host order. */
const NUMBER_AT = 0;
const ARCHITECTURE_AT = 4;
const FIRST_ARGUMENT_AT = 16;
const ARCHITECTURES: Record<Architecture, number> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };
/** On x86-64: numbers of the x32 ABI, which are the same calls once more. */
const X32 = 0x4000_0000;

const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;
const EPERM = 1;
const ENOSYS = 38;

/** The program (struct sock_filter) that denies with EPERM what a mode never needs. */
export function deniedCalls(
  { runsPrograms, attaches, loads }: StillDoes,
  architecture: Architecture = process.arch === "arm64" ? "arm64" : "x64",
): Uint8Array {
  const number = ([x64, arm64]: readonly (number | null)[]) => (architecture === "x64" ? x64 : arm64)!;
  const assembler = new ClassicAssembler();
  const [deny, missing, allow, isOurs, ofBpf, ofClone] = Array.from({ length: 6 }, () =>
    assembler.label(),
  ) as [number, number, number, number, number, number];
  assembler.emit(LOAD_WORD, ARCHITECTURE_AT);
  assembler.jumpIf(EQUAL, ARCHITECTURES[architecture], isOurs);
  assembler.jump(deny);
  assembler.place(isOurs);
  assembler.emit(LOAD_WORD, NUMBER_AT);
  if (architecture === "x64") assembler.jumpIf(HAS_BITS, X32, deny);
  const calls = [...Object.values(NEVER), ...(runsPrograms ? [] : Object.values(RUN))];
  for (const call of calls) if (number(call) !== null) assembler.jumpIf(EQUAL, number(call), deny);
  if (!loads) assembler.jumpIf(EQUAL, number(BPF), ofBpf);
  assembler.jumpIf(EQUAL, number(CLONE), ofClone);
  // Its flags are in memory, which a filter cannot read: glibc takes clone instead.
  assembler.jumpIf(EQUAL, CLONE3, missing);
  assembler.jump(allow);
  assembler.place(ofClone);
  assembler.emit(LOAD_WORD, FIRST_ARGUMENT_AT);
  assembler.jumpIf(HAS_BITS, NAMESPACES, deny);
  assembler.jump(allow);
  assembler.place(ofBpf);
  assembler.emit(LOAD_WORD, FIRST_ARGUMENT_AT);
  for (const command of [...MAP_COMMANDS, ...(attaches ? ATTACH_COMMANDS : [])]) {
    assembler.jumpIf(EQUAL, command, allow);
  }
  assembler.place(deny);
  assembler.return(ERRNO | EPERM);
  assembler.place(missing);
  assembler.return(ERRNO | ENOSYS);
  assembler.place(allow);
  assembler.return(ALLOW);
  return assembler.bytes();
}
