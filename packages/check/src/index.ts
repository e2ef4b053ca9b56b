/**
 * Checks that replication is right: operations of many families are drawn, interleaved and done on a kernel and on a
 * single copy; what breaks is shrunk, and named after the defect behind it.
 */
export { familiesOfBug, kernelOfBug, kindOfBug, pathOfBug, policyOfBug } from "./bugs.js";
export { campaign, type CampaignOptions, type CampaignResult, type Counterexample } from "./campaign.js";
export { CheckFailure, failureIn, sentenceOf } from "./check-failure.js";
export { CheckedSystem, type SystemOptions } from "./checked-system.js";
export { CORE_FAMILIES } from "./core-families.js";
export { Coverage, type CoverageCount } from "./coverage.js";
export { withDefect } from "./defects.js";
export { type Comparison, Differential } from "./differential.js";
export { type EffortOptions, medianEffort, operationsToFind } from "./effort.js";
export { ExecutingCpu, ExecutionPages } from "./executing-cpu.js";
export { ALL_FAMILIES, FAMILIES, familiesOn, Repertoire, repertoire } from "./families.js";
export type { OperationFamily } from "./family.js";
export { type Configuration, CONFIGURATIONS, fewestNodes, kernelOf, type Kind, kindsOf, kindText } from "./kinds.js";
export { type Operation } from "./operation.js";
export { canShow, familiesOf, outOfReach, toward } from "./reach.js";
export { exploreSchedules } from "./schedules.js";
export { configuredKinds, laidOn, SERIES_IDS, withSeries } from "./series.js";
export { type Finding, outcome, survey, type SurveyResult, told } from "./survey.js";
