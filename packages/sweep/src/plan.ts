/** A plan as data: axes and what stands on them, axes that go together, which cells are wanted. */
import { z } from "zod";

/** What the field `schema` of a plan says. */
export const PLAN_SCHEMA = "kreplica.sweep/1";

const scalar = z.union([z.string().max(4096), z.number(), z.boolean(), z.null()]);
const AXIS = /^[a-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*$/;
const axisName = z.string().regex(AXIS).max(120);

const condition = z.union([
  scalar,
  z.array(scalar).min(1),
  z.strictObject({ least: z.exactOptional(z.number()), most: z.exactOptional(z.number()) }),
]);
const filter = z.record(axisName, condition).describe("by axis: a value, a list of values, or { least, most }");

/** Values along one axis. */
const along = z.array(scalar).min(1).max(100_000);

/** The shape of a plan file, and what its fields mean, said once. */
export const planShape = z.strictObject({
  $schema: z.exactOptional(z.string()),
  schema: z.literal(PLAN_SCHEMA).describe("version of this format"),
  title: z.exactOptional(z.string().min(1).max(200)).describe("one line, for reports"),
  axes: z
    .record(axisName, along)
    .describe("by axis its values; every value of one is combined with every value of all others"),
  together: z
    .exactOptional(z.array(z.record(axisName, along)))
    .describe("axes that move together, a group each: the first values of all are one point, the second the next"),
  only: z.exactOptional(z.array(filter).min(1)).describe("cells that match one of these; absent: all"),
  except: z.exactOptional(z.array(filter).min(1)).describe("cells that match one of these are left out"),
  inPart: z
    .exactOptional(z.boolean())
    .describe("long recordings are run in part, an eighth, from which the whole is told; absent: whole"),
  stop: z
    .exactOptional(
      z.strictObject({
        along: axisName.describe("axis along which no more is measured than it takes; its values in their order"),
        halfWidthPercent: z
          .number()
          .positive()
          .max(100)
          .describe("enough is known when the mean gain, hot and cold, is within this many percent either way at 95 %"),
        each: z
          .exactOptional(z.int().min(2).max(1000))
          .describe("so many values are measured before it is looked, and again before the next look; absent: 4"),
      }),
    )
    .describe("cells that differ along one axis alone are measured until their mean gain is known; absent: all"),
});

/** A plan as it is written: `export default { ... } satisfies SweepPlan` in a TypeScript file. */
export type SweepPlan = z.infer<typeof planShape>;

/** A value on an axis. */
export type AxisValue = string | number | boolean | null;

/** The published JSON Schema. */
export const planJsonSchema = (): unknown => {
  const { $schema: _, ...rest } = z.toJSONSchema(planShape) as Record<string, unknown>;
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: "https://github.com/kreplica/kreplica/packages/bench/schemas/kreplica.sweep-1.json",
    title: "kreplica.sweep/1",
    description: "A plan of many runs for `kreplica sweep PLAN`, as YAML or JSON.",
    ...rest,
  };
};
