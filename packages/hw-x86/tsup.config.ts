import { doorsOf } from "../../tsup.shared.js";

export default doorsOf(
  { "@kreplica/hw-x86/iced": ["./src/iced.ts"] },
  "src/index.ts",
  "src/api.ts",
  "src/testing.ts",
  "src/isa/index.ts",
  "src/iced.ts",
);
