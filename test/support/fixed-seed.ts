// Properties look at the same inputs in every run, so that one which fails is the change's doing; STELE_PROPERTY_SEED tries others.

import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env['STELE_PROPERTY_SEED'] ?? '1') })
