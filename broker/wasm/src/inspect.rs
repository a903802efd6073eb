//! Walks through a component's sections once, without compiling it: what it exports and imports,
//! and whether compiling it would be too much work.
//!
//! The format lets a short file stand for a great deal of work: components may instantiate one
//! another so that each level doubles the last, and a function may declare fifty thousand locals in
//! four bytes. wasmtime has no bound on either, so they are counted here, before it sees the file.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Encoding, FunctionBody, Instance, Parser, Payload,
};

use crate::Error;

/// Largest body of one function: CPython's interpreter loop has a fifth of this.
const FUNCTION_BYTES_MAX: usize = 2 << 20;
/// Most functions: CPython with its standard library has a fifteenth of this.
const FUNCTIONS_MAX: u64 = 200_000;
/// Most local variables of all functions together: CPython has an eightieth of this.
const LOCALS_MAX: u64 = 4_000_000;
/// Most instances and lifted or lowered functions, once all nested components are instantiated.
const EXPANDED_MAX: u64 = 20_000;

/// What stands at the outermost level of a component.
#[derive(Debug, Default)]
pub(crate) struct Surface {
    /// The names of its exports.
    pub exports: Vec<String>,
    /// Its imports.
    pub imports: Vec<Import>,
}

/// An import of a component.
#[derive(Debug)]
pub(crate) struct Import {
    pub name: String,
    /// Whether it is an interface: only those are granted.
    pub is_interface: bool,
}

/// Reads the surface of `bytes`, which begin like WebAssembly.
///
/// # Errors
/// [`Error::CoreModule`], [`Error::Invalid`] where the sections break off, [`Error::TooComplex`].
pub(crate) fn inspect(bytes: &[u8]) -> Result<Surface, Error> {
    let mut walk = Walk::default();
    for payload in Parser::new(0).parse_all(bytes) {
        walk.step(payload.map_err(invalid)?)?;
    }
    Ok(walk.surface)
}

pub(crate) fn invalid(error: wasmparser::BinaryReaderError) -> Error {
    Error::Invalid(error.to_string())
}

fn too_complex(what: impl Into<String>) -> Error {
    Error::TooComplex { what: what.into() }
}

/// A component or module whose end hasn't been reached.
#[derive(Default)]
struct Level {
    is_component: bool,
    /// What an instance of this comes to, those inside it included.
    expanded: u64,
    /// The same of each component that it knows by index.
    components: Vec<u64>,
}

#[derive(Default)]
struct Walk {
    levels: Vec<Level>,
    surface: Surface,
    functions: u64,
    locals: u64,
}

impl Walk {
    fn step(&mut self, payload: Payload<'_>) -> Result<(), Error> {
        match payload {
            Payload::Version { encoding, .. } => self.enter(encoding),
            Payload::End(_) => self.leave(),
            Payload::CodeSectionEntry(body) => self.function(&body),
            Payload::InstanceSection(section) => {
                section.into_iter().try_for_each(|instance| match instance.map_err(invalid)? {
                    Instance::Instantiate { .. } => self.expand(1),
                    Instance::FromExports(_) => Ok(()),
                })
            }
            Payload::ComponentCanonicalSection(section) => self.expand(u64::from(section.count())),
            Payload::ComponentInstanceSection(section) => {
                section.into_iter().try_for_each(|instance| match instance.map_err(invalid)? {
                    ComponentInstance::Instantiate { component_index, .. } => {
                        let inside = self.component(0, component_index)?;
                        self.expand(inside.saturating_add(1))
                    }
                    ComponentInstance::FromExports(_) => Ok(()),
                })
            }
            Payload::ComponentAliasSection(section) => {
                section.into_iter().try_for_each(|alias| self.alias(&alias.map_err(invalid)?))
            }
            Payload::ComponentImportSection(section) => {
                section.into_iter().try_for_each(|import| {
                    let import = import.map_err(invalid)?;
                    self.import(import.name.name, import.ty)
                })
            }
            Payload::ComponentExportSection(section) => {
                section.into_iter().try_for_each(|export| {
                    let export = export.map_err(invalid)?;
                    self.export(export.name.name, export.kind, export.index)
                })
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, encoding: Encoding) -> Result<(), Error> {
        let is_component = encoding == Encoding::Component;
        if self.levels.is_empty() && !is_component {
            return Err(Error::CoreModule);
        }
        self.levels.push(Level { is_component, ..Level::default() });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        let inside = self.levels.pop();
        if let (Some(inside), Some(level)) = (inside, self.levels.last_mut())
            && inside.is_component
        {
            level.components.push(inside.expanded);
        }
        Ok(())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Error> {
        let bytes = body.range().len();
        if bytes > FUNCTION_BYTES_MAX {
            return Err(too_complex(format!(
                "a function of {bytes} bytes, at most {FUNCTION_BYTES_MAX} are allowed"
            )));
        }
        self.functions += 1;
        if self.functions > FUNCTIONS_MAX {
            return Err(too_complex(format!("more than {FUNCTIONS_MAX} functions")));
        }
        for locals in body.get_locals_reader().map_err(invalid)? {
            let (count, _type) = locals.map_err(invalid)?;
            self.locals += u64::from(count);
        }
        if self.locals > LOCALS_MAX {
            return Err(too_complex(format!("more than {LOCALS_MAX} local variables")));
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Error> {
        match *alias {
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                Err(too_complex("a component that is passed between instances"))
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                let inside = self.component(count, index)?;
                self.know_component(inside);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn import(&mut self, name: &str, ty: ComponentTypeRef) -> Result<(), Error> {
        if self.levels.len() == 1 {
            let is_interface = matches!(ty, ComponentTypeRef::Instance(_));
            self.surface.imports.push(Import { name: name.to_owned(), is_interface });
            Ok(())
        } else if let ComponentTypeRef::Component(_) = ty {
            // What it comes to is decided by whoever passes it, so it can't be counted here.
            Err(too_complex(format!("the component {name:?} that is passed as an argument")))
        } else {
            Ok(())
        }
    }

    fn export(&mut self, name: &str, kind: ComponentExternalKind, index: u32) -> Result<(), Error> {
        if self.levels.len() == 1 {
            self.surface.exports.push(name.to_owned());
        }
        if kind == ComponentExternalKind::Component {
            let inside = self.component(0, index)?;
            self.know_component(inside);
        }
        Ok(())
    }

    /// What the component `index` comes to, as the level `outward` from the innermost knows it.
    fn component(&self, outward: u32, index: u32) -> Result<u64, Error> {
        let level = self.levels.iter().rev().nth(outward as usize);
        level
            .and_then(|level| level.components.get(index as usize))
            .copied()
            .ok_or_else(|| Error::Invalid(format!("there is no component {index}")))
    }

    fn know_component(&mut self, expanded: u64) {
        if let Some(level) = self.levels.last_mut() {
            level.components.push(expanded);
        }
    }

    fn expand(&mut self, by: u64) -> Result<(), Error> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        level.expanded = level.expanded.saturating_add(by);
        if level.expanded > EXPANDED_MAX {
            return Err(too_complex(format!(
                "it expands to more than {EXPANDED_MAX} instances and functions"
            )));
        }
        Ok(())
    }
}
