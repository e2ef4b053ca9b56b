/** The worker that takes the first one's place when files are opened: the same with all that reads them. */
import { placeOfFiles, readMachineText } from "../model/files.js";
import { machineForRecordings, Playback } from "../model/playback.js";
import { serve } from "./serve.js";

serve({ placeOfFiles, readMachineText, machineForRecordings, play: (...of) => Playback.of(...of) });
