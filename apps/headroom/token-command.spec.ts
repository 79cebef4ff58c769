import { expect, test } from '@jest/globals';
import { configSchema } from './config.js';
import { tokenCommand } from './token-command.js';

const project = { projectDir: '/p', file: '/p/config/demo.yaml', dataDir: '/p/.headroom' };

test.each([
  [{}, {}, '--for 8h'],
  [{ identity: { tokenMaxS: 1800 } }, {}, '--for 1800s'],
  [{ dataDir: '/d' }, { dataDir: '/d' }, '--for 8h'],
  [{}, { file: '/etc/h.yaml', dataDir: '/d' }, '--for 8h --config /etc/h.yaml --data-dir /d'],
  [{}, { dataDir: "/it's here" }, "--for 8h --data-dir '/it'\\''s here'"],
])('%j, %j → %s', (config, running, options) => {
  const command = tokenCommand({ ...project, ...running, config: configSchema.parse(config) });
  expect(command).toBe(`npx headroom token --scope all ${options}`);
});
