// Every fuzz target, a row each: whatever reads bytes from outside.

import type { Target } from './target.ts'
import { ENCODING_TARGETS } from './targets/encoding.ts'
import { ENTRY_TARGETS } from './targets/entries.ts'
import { EVIDENCE_TARGETS } from './targets/evidence.ts'
import { FRAME_TARGETS } from './targets/frames.ts'
import { HTTP_TARGETS } from './targets/http.ts'
import { PLC_TARGETS } from './targets/plc.ts'
import { PROOF_TARGETS } from './targets/proofs.ts'
import { REPLAY_TARGETS } from './targets/replay.ts'
import { TLOG_TARGETS } from './targets/tlog.ts'
import { WITNESS_TARGETS } from './targets/witness.ts'

/** In the order of the rooms. */
export const TARGETS: readonly Target[] = [
  ...ENCODING_TARGETS, ...PLC_TARGETS, ...TLOG_TARGETS, ...PROOF_TARGETS, ...ENTRY_TARGETS, ...REPLAY_TARGETS, ...FRAME_TARGETS, ...HTTP_TARGETS, ...WITNESS_TARGETS, ...EVIDENCE_TARGETS,
]
