/** Cycles by function and cause as a profile that pprof and what reads its files shows: protobuf, packed by gzip. */
import { STATES } from "@kreplica/replay";
import { gzipSync } from "node:zlib";
import { PbfWriter } from "pbf";
import { message } from "./protobuf.js";
import { type Exported, type Sample, wholeNumbers } from "./samples.js";

/** Numbers of the fields used. @source pprof, proto/profile.proto */
const Field = {
  ProfileSampleType: 1,
  ProfileSample: 2,
  ProfileLocation: 4,
  ProfileFunction: 5,
  ProfileStringTable: 6,
  ProfilePeriodType: 11,
  ProfilePeriod: 12,
  ProfileComment: 13,
  ProfileDefaultSampleType: 14,
  TypeName: 1,
  TypeUnit: 2,
  SampleLocation: 1,
  SampleValue: 2,
  SampleLabel: 3,
  LabelKey: 1,
  LabelText: 2,
  LocationId: 1,
  LocationAddress: 3,
  LocationLine: 4,
  LineFunction: 1,
  FunctionId: 1,
  FunctionName: 2,
  FunctionSystemName: 3,
  FunctionFile: 4,
} as const;
/** Where gzip says which system packed: unknown, so that the same profile is the same bytes everywhere. */
const GZIP_SYSTEM = 9;
const UNKNOWN_SYSTEM = 255;

/** Gives each of several names a number from 1. */
class Numbers {
  readonly names = new Map<string, number>();
  constructor(private readonly first: number) {}
  of(name: string): number {
    let number = this.names.get(name);
    if (number === undefined) this.names.set(name, (number = this.names.size + this.first));
    return number;
  }
}

/**
 * Four values a sample, cycles of each kernel in each state of the caches; a stack is cause, function, test, the cause
 * innermost; the test and the cause are labels, too. Whole cycles.
 *
 * @source pprof, proto/profile.proto
 */
export function pprof({ title, kernels, samples }: Exported): Uint8Array {
  const texts = new Numbers(0);
  texts.of("");
  const functions = new Numbers(1);
  const addresses = new Map<number, string>();
  const types = STATES.flatMap((cache) => kernels.map((kernel) => ({ cache, kernel, name: `${kernel}, ${cache}` })));
  const whole = wholeByType(types, samples);
  const rows = new Map<string, { readonly first: Sample; readonly values: number[] }>();
  samples.forEach((each, nth) => {
    const key = JSON.stringify([each.test, each.function, each.address, each.cause]);
    let row = rows.get(key);
    if (!row) rows.set(key, (row = { first: each, values: types.map(() => 0) }));
    row.values[types.findIndex(({ cache, kernel }) => cache === each.cache && kernel === each.kernel)]! += whole[nth]!;
  });

  const profile = new PbfWriter();
  const typed = (field: number, name: string): void =>
    message(profile, field, (pbf) => {
      pbf.writeVarintField(Field.TypeName, texts.of(name));
      pbf.writeVarintField(Field.TypeUnit, texts.of("cycles"));
    });
  for (const { name } of types) typed(Field.ProfileSampleType, name);
  for (const { first, values } of rows.values()) {
    // Functions of one name at two places are two.
    const stack = [`cause ${first.cause}`, `text ${first.function}\n${first.address}`, `test ${first.test}`].map(
      (name) => functions.of(name),
    );
    if (first.address !== "") addresses.set(stack[1]!, first.address);
    message(profile, Field.ProfileSample, (pbf) => {
      pbf.writePackedVarint(Field.SampleLocation, stack);
      pbf.writePackedVarint(Field.SampleValue, values);
      for (const key of ["test", "cause"] as const)
        message(pbf, Field.SampleLabel, () => {
          pbf.writeVarintField(Field.LabelKey, texts.of(key));
          pbf.writeVarintField(Field.LabelText, texts.of(first[key]));
        });
    });
  }
  for (const [key, number] of functions.names) {
    message(profile, Field.ProfileLocation, (pbf) => {
      pbf.writeVarintField(Field.LocationId, number);
      const address = addresses.get(number);
      // Unsigned, of 64 bits, of which a number keeps 53: as a negative number of the same bits it is exact.
      if (address !== undefined)
        pbf.writeVarintField(Field.LocationAddress, Number(BigInt.asIntN(64, BigInt(address))));
      message(pbf, Field.LocationLine, () => {
        pbf.writeVarintField(Field.LineFunction, number);
      });
    });
    const [kind] = key.split(" ") as [keyof typeof FILES];
    const name = key.slice(kind.length + 1).split("\n")[0]!;
    message(profile, Field.ProfileFunction, (pbf) => {
      pbf.writeVarintField(Field.FunctionId, number);
      pbf.writeVarintField(Field.FunctionName, texts.of(name));
      pbf.writeVarintField(Field.FunctionSystemName, texts.of(name));
      pbf.writeVarintField(Field.FunctionFile, texts.of(FILES[kind]));
    });
  }
  typed(Field.ProfilePeriodType, types[0]!.name);
  profile.writeVarintField(Field.ProfilePeriod, 1);
  profile.writeVarintField(Field.ProfileComment, texts.of(title));
  profile.writeVarintField(Field.ProfileDefaultSampleType, texts.of(types[0]!.name));
  for (const text of texts.names.keys()) profile.writeStringField(Field.ProfileStringTable, text);
  const packed = gzipSync(profile.finish());
  packed[GZIP_SYSTEM] = UNKNOWN_SYSTEM;
  return packed;
}

/** What stands for the file of a function. */
const FILES = { cause: "[cause]", text: "vmlinux", test: "[test]" } as const;

/** Whole cycles in the order of the samples: those of one type add up to its cycles but for rounding. */
function wholeByType(
  types: readonly { readonly cache: string; readonly kernel: string }[],
  samples: readonly Sample[],
): number[] {
  const whole = samples.map(() => 0);
  for (const { cache, kernel } of types) {
    const places = samples.flatMap((each, nth) => (each.cache === cache && each.kernel === kernel ? [nth] : []));
    wholeNumbers(places.map((nth) => samples[nth]!.cycles)).forEach((count, at) => (whole[places[at]!] = count));
  }
  return whole;
}
