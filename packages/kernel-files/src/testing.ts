/** Test helpers: kernel files made of nothing, whole or as bzImages. */
export { bzImageAround, declaredAt, smallKernel, summed } from "./testing/small-kernel.js";
