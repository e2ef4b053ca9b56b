/**
 * iced-x86's decoder, the only door through which kreplica takes it: in Node the package itself, in a browser the same
 * code with its WebAssembly inside, because the package's own build reads that from a file (decision 007). What is
 * exported is iced-x86's, MIT, documented there.
 */
export {
  Code,
  ConditionCode,
  Decoder,
  DecoderError,
  DecoderOptions,
  FlowControl,
  Instruction,
  MemorySizeExt,
  Mnemonic,
  OpKind,
  Register,
} from "iced-x86";
