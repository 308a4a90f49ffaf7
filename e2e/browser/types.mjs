// The types of jotgate.js, as TypeScript reads them.

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.JOTGATE_E2E_MODULES, 'script.js'));
const flags = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom', '--module', 'esnext', '--moduleResolution', 'bundler'];
const example = join(import.meta.dirname, 'types.ts');
execFileSync(process.execPath, [require.resolve('typescript/bin/tsc'), ...flags, example], { stdio: 'inherit' });
