/** NUMA machines as descriptions: presets with their sources, and readers of the texts in which people have theirs. */
export {
  type CacheName,
  type Fact,
  type FactKind,
  type FactValues,
  type MachineAccount,
  type Place,
  type TlbName,
} from "./accounts/account.js";
export { AccountOf, cacheNameOf } from "./accounts/account.js";
export { groupBy } from "./group-by.js";
export { readAcpi } from "./accounts/acpi.js";
export { type AcpiTable, isAcpiTable, isTableFile, type TableName, TABLES, tableFromBytes } from "./acpi/tables.js";
export { acpiTables } from "./acpi/write.js";
export { type QemuOptions, qemuOptions } from "./qemu-options.js";
export { type Fallback, machineFromAccounts } from "./accounts/machine.js";
export { measuredAccount } from "./accounts/measured.js";
export {
  isMeasurement,
  type MeasuredCache,
  type MeasuredCell,
  type MeasuredNode,
  type MeasuredProcessor,
  type Measurement,
  measurementFrom,
  type NotMeasured,
} from "./measured/measurement.js";
export { MEASURED_BY, measurementFromProgram } from "./measured/program-lines.js";
export { accountsFromText, accountTexts, isAccountText } from "./accounts/readers.js";
export { checkMachine, type MachineFault, sourcedNumbers } from "./check.js";
export { type CpuPlace, socketGroups } from "./cpu-places.js";
export { distanceScale } from "./distance-scale.js";
export { cutOff, type FoundNode, sharedCpus } from "./found-node.js";
export {
  machineFromInputs,
  machineFromText,
  type MachineInput,
  machineInput,
  machineNameOf,
  type MachineReading,
  machineText,
  soundMachine,
} from "./from-inputs.js";
export { isToolText, machineFromTools } from "./from-tools.js";
export { COMMON_SHAPE_SOURCE, timesIdle } from "./loaded-latency.js";
export { machineDocument, machineFromJson } from "./json-machine.js";
export { parseLatencyChecker } from "./memory-latency-checker.js";
export { parseNumactlHardware } from "./numactl-hardware.js";
export { machineOnFound } from "./on-base.js";
export { e52690v3 } from "./presets/e5-2690v3-2s.js";
export { defaultPreset, preset, presetMeant, presetNamed, presets, withFiveLevels } from "./presets/index.js";
export { recordedGuest } from "./presets/recorded-guest.js";
export { tiny2Node } from "./presets/tiny-2-node.js";
export { machineJsonSchema, wholeMachine } from "./schema.js";
export { readFrom, sourceOf } from "./source-of.js";
export { sysfsAccount } from "./sysfs/account.js";
export { folderOf, type FolderTree, LONGEST_FILE } from "./sysfs/folder-tree.js";
export { machineFromSysfs, nodesBelow } from "./sysfs/nodes.js";
