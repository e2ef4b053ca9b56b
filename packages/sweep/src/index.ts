/** Many runs as one plan: its points, what a cell is called, the journal of those done, their rows as Parquet. */
export { canonicalText } from "./canonical.js";
export { type Digest, type DoneCell, type Journal, journalLine, readJournal, type Row } from "./journal.js";
export { columnsOf, type ColumnType, parquetOf, rowsOf } from "./parquet.js";
export { type AxisValue, PLAN_SCHEMA, planJsonSchema, planShape, type SweepPlan } from "./plan.js";
export { planFromText, planFromValue, type PlanText } from "./plan-text.js";
export { axesOf, type Point, pointsOf, sizeOf } from "./points.js";
export { groupsAlong, halfWidthOf, isEnough, type StopRule, type Wanted, wantedOf } from "./stop-rule.js";
export { along, type Along, csvOf, figuresOf, type Grid, gridOf, shareOf, type Spread } from "./questions.js";
