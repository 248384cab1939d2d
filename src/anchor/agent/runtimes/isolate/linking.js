// Runs modules that the worker has rewritten: makes their namespaces, starts them in order, answers `import()`.
// `functions` are the modules' functions, `plan` says for each its path, what it imports, and where its exports are.
({ isFunction }) => {
  const { create, defineProperty, preventExtensions } = Object;

  // The place of a module in the plan, -1 where there is none.
  const placeOf = (plan, importer, specifier) => {
    let parts = specifier.split("/");
    if (parts[0] === "." || parts[0] === "..") parts = [...importer.split("/").slice(0, -1), ...parts];
    else if (parts[0] === "") parts.shift();
    const path = [];
    for (const part of parts) {
      if (part === "..") path.pop();
      else if (part !== "." && part !== "") path.push(part);
    }
    const wanted = path.join("/");
    return plan.modules.findIndex((module) => module.path === wanted);
  };

  return async (functions, plan, input) => {
    const modules = plan.modules.map((module, number) => ({ ...module, main: functions[number], done: null, body: null, getters: null }));
    for (const module of modules) {
      module.namespace = create(null);
      defineProperty(module.namespace, Symbol.toStringTag, { value: "Module" });
    }
    for (const module of modules) {
      for (const [name, from, local] of module.exports) {
        const source = modules[from];
        const get = local === null ? () => source.namespace : () => source.getters[local]();
        defineProperty(module.namespace, name, { get, enumerable: true });
      }
      preventExtensions(module.namespace);
    }

    const evaluate = (module, above) => {
      module.done ??= (async () => {
        for (const number of module.requests) {
          const wanted = modules[number];
          if (wanted !== module && !above.includes(wanted)) await evaluate(wanted, [...above, module]);
        }
        await module.body.next();
      })();
      return module.done;
    };

    const importer = (module) => async (specifier) => {
      const wanted = `${specifier}`;
      const number = placeOf(plan, module.path, wanted);
      if (number < 0) throw new TypeError(`Cannot find module '${wanted}'`);
      await evaluate(modules[number], []);
      return modules[number].namespace;
    };

    // The entry may be a script: then it is run, not linked.
    const [entry] = modules;
    for (const module of modules) {
      if (!module.isModule) continue;
      const namespaces = module.requests.map((number) => modules[number].namespace);
      const meta = create(null);
      meta.url = `file:///${module.path}`;
      // Called by itself: the `this` of a module is nothing.
      const { main } = module;
      module.body = main(...namespaces, importer(module), meta);
    }
    for (const module of modules) {
      if (!module.isModule) continue;
      [module.getters] = (await module.body.next()).value;
      if (module.anonymous) {
        try {
          defineProperty(module.getters.default(), "name", { value: "default", configurable: true });
        } catch {
          // It is no function that is there from the start: the language has named it.
        }
      }
    }
    if (!entry.isModule) return entry.main(importer(entry));
    await evaluate(entry, []);
    const answer = await entry.namespace.default;
    return isFunction(answer) ? answer(input) : answer;
  };
}
