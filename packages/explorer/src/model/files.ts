/**
 * Reads files that somebody opened, whatever they are: machines in every form that kreplica reads, kernels, recordings,
 * saved counterexamples.
 */
import { InputError } from "@kreplica/inputs";
import { bootableImage, kernelFromBytes, readSymbolList, textOf } from "@kreplica/kernel-files";
import {
  defaultPreset,
  isAcpiTable,
  machineDocument,
  machineFromInputs,
  machineFromSysfs,
  machineFromText,
  machineInput,
  machineNameOf,
  type MachineReading,
  machineText,
  presetNamed,
  soundMachine,
  sysfsAccount,
} from "@kreplica/machines";
import { TextSymbols } from "@kreplica/replay";
import { recordingOf } from "@kreplica/trace";
import { keyOf, MOST_NODES, nameOfKey, type Place } from "../hash.js";
import { packedMachine, unpacked } from "../packed.js";
import { counterexampleIn, placeOfCounterexample } from "./counterexample.js";
import type { OpenedFolder } from "./folder.js";
import { machineIn } from "./folder-machine.js";
import { checkRecording } from "./playback.js";
import { keepKernel, keepMachine, keepRecording } from "./own.js";

/** A file as it was dropped. */
export interface OpenedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** SHA-256 of the bytes, hexadecimal. */
  readonly digest: string;
}

/** What may be opened. */
export type OpenedInput = OpenedFile | OpenedFolder;

type Sort = "kernel" | "recording" | "symbols" | "counterexample" | "machine";

const latin1 = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, to));
const ZSTD = "\x28\xb5\x2f\xfd";

/** By what the file holds; of what is packed with zstd, a System.map by its name, a recording otherwise. */
function sortOf({ name, bytes }: OpenedFile): Sort {
  const head = latin1(bytes, 0, 64);
  if (head.startsWith("\x7fELF") || latin1(bytes, 0x202, 0x206) === "HdrS") return "kernel";
  if (head.startsWith("KTRC1")) return "recording";
  if (head.startsWith(ZSTD)) return /system\.map/i.test(name) ? "symbols" : "recording";
  if (/^[0-9a-f]{8,16} [A-Za-z?] /.test(head)) return "symbols";
  return counterexampleIn(bytes) ? "counterexample" : "machine";
}

/**
 * What the page goes to once the files are read; they are kept under the names that the place has for them.
 *
 * @param opened together: tables of ACPI, outputs of tools and a copied sysfs are one machine, a System.map is the
 *   kernel's
 * @param now where the page is
 * @throws InputError naming file, place, field and remedy; nothing is kept then
 */
export async function placeOfFiles(opened: readonly OpenedInput[], now: Place): Promise<Place> {
  const folders = opened.flatMap((each) => ("entries" in each ? [each] : []));
  const files = opened.flatMap((each) => ("bytes" in each ? [each] : []));
  const sorts = files.map((file) => ({ file, sort: sortOf(file) }));
  const of = (wanted: Sort): OpenedFile[] => sorts.filter(({ sort }) => sort === wanted).map(({ file }) => file);
  const [saved] = of("counterexample");
  if (saved) {
    if (opened.length > 1)
      throw new InputError({
        file: saved.name,
        reason: "a saved counterexample among other files",
        remedy: "open it by itself",
      });
    return placeOfCounterexample(saved.name, counterexampleIn(saved.bytes)!, now);
  }
  let place = now;
  const machine = of("machine");
  if (machine.length + folders.length > 0) place = await withMachine(machine, folders, place);
  const [kernel] = of("kernel");
  const [symbols] = of("symbols");
  if (kernel) place = await withKernel(kernel, symbols, place);
  else if (symbols)
    throw new InputError({
      file: symbols.name,
      reason: "a list of symbols without the kernel it is of",
      remedy: "open it together with its vmlinuz",
    });
  const [recording] = of("recording");
  if (recording) place = withRecording(recording, place);
  return place;
}

const readingOf = (file: string): MachineReading => ({
  name: machineNameOf(file),
  named: presetNamed,
  schema: "kreplica's schemas/kreplica.machine-1.json",
});

async function withMachine(
  single: readonly OpenedFile[],
  folders: readonly OpenedFolder[],
  now: Place,
): Promise<Place> {
  const held = folders.map(machineIn);
  const trees = held.flatMap((each) => ("tree" in each ? [each.tree] : []));
  const files = [...single, ...held.flatMap((each) => ("tables" in each ? each.tables : []))];
  const names = [...single, ...folders].map(({ name }) => name).join(", ");
  const called = readingOf([...single, ...folders][0]!.name).name;
  const [file] = files;
  const [tree] = trees;
  const one = files.length + trees.length === 1;
  const machine =
    one && tree
      ? soundMachine(machineFromSysfs(tree, called, defaultPreset), names)
      : one && !isAcpiTable(file!.bytes)
        ? soundMachine(machineFromText(machineText(file!.bytes, names), names, readingOf(names)), names)
        : machineFromInputs(
            [
              ...files.map(({ name, bytes }) => ({ file: name, input: machineInput(bytes, name, readingOf(name)) })),
              ...trees.map((each) => ({ file: each.name, input: { accounts: [sysfsAccount(each)] } })),
            ],
            called,
          );
  const { length } = machine.nodes;
  if (length > MOST_NODES)
    throw new InputError({
      file: names,
      field: "nodes",
      reason: `${length} nodes, and a picture has room for ${MOST_NODES}`,
      remedy: "give a machine of 1 to 8 nodes",
    });
  const text = await packedMachine(machineDocument(machine));
  keepMachine(text, machine);
  return onMachine(text, length, now);
}

/** A place on another machine; what was configured of the one before is gone with it. */
function onMachine(machine: string, nodes: number, now: Place): Place {
  const { configuration: _, page: _page, ...rest } = now;
  return { ...rest, machine, nodes };
}

/**
 * The machine that an address holds, read like any file of a stranger's, or the preset that it names.
 * @throws InputError
 */
export async function readMachineText(text: string): Promise<void> {
  const name = nameOfKey(text);
  if (name === text) {
    keepMachine(text, readingOf("the address").named(text, "machine"));
    return;
  }
  let json: string;
  try {
    json = await unpacked(text.slice(name.length + 1));
  } catch {
    throw new InputError({
      file: `the address's machine ${name}`,
      field: "machine",
      reason: "it is cut or damaged",
      remedy: "copy the whole address, or drop the machine's own file",
    });
  }
  const machine = soundMachine(machineFromText(json, `the address's machine ${name}`, readingOf(name)), name);
  keepMachine(text, machine);
}

async function withKernel(file: OpenedFile, symbols: OpenedFile | undefined, now: Place): Promise<Place> {
  const list = symbols && readSymbolList(textOf(symbols.bytes, symbols.name), symbols.name);
  const kernel = await kernelFromBytes(file.bytes, file.name, list);
  const image = bootableImage(kernel, "recorded");
  const key = keyOf(file.name, file.digest);
  const names = new TextSymbols(image, kernel.symbols);
  keepKernel({ key, file: file.name, bytes: file.bytes, kernel, image, names });
  const { page: _, ...rest } = now;
  return { ...rest, kernel: key };
}

function withRecording(file: OpenedFile, now: Place): Place {
  const recording = recordingOf(file.name, file.bytes);
  checkRecording(recording);
  const key = keyOf(file.name, file.digest);
  keepRecording({ key, recording });
  return { ...now, recording: key, reference: 0 };
}
