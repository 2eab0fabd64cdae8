/** What a person may set in JupyterLab's settings editor; without one, the defaults of the schema hold. */

import type { ISettingRegistry } from "@jupyterlab/settingregistry";
import schema from "./schema/settings.json";

export const SETTINGS = "@nbsr/labextension:settings";

type Name = keyof typeof schema.properties;

export const settings = Object.fromEntries(
  Object.entries(schema.properties).map(([name, property]) => [name, property.default]),
) as { [name in Name]: (typeof schema.properties)[name]["default"] };

const listeners = new Set<() => void>();

/** Calls at every change, until what is returned is called. */
export function onSet(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export async function follow(registry: ISettingRegistry): Promise<void> {
  const loaded = await registry.load(SETTINGS);
  const take = (): void => {
    Object.assign(settings, loaded.composite);
    for (const listener of listeners) listener();
  };
  loaded.changed.connect(take);
  take();
}
