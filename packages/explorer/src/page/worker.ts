/** The worker that a page begins with: it reads no files, and so is small. */
import { serve } from "./serve.js";

serve();
