// SPDX-License-Identifier: Apache-2.0
//! What declared and stored objects mean to shards: names become numbers, and objects become what
//! `policy::directory` holds.
//!
//! The control plane keeps the `Numbers`: a number is never used again while the process lives, so that a request which
//! runs for long cannot meet somebody else under the number that it holds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;

use crate::base::{AppId, ConsumerId, CredentialId, PlanId, ProductId, TenantId};
use crate::config::spec::directory::{
    AllowanceSpec, AppSpec, ConsumerBody, GroupSpec, PlanSpec, ProductSpec, TenantSpec,
};
use crate::policy::directory::{
    Allowance, App, Catalogue, Consumer, Credential, CredentialKind, Directory, Expiry, KeyEntry, KeyHash, Own, Parts,
    Period, Plan, Product, Profile, Revision, Snapshot, Standing, Subscription, Tenant,
};
use crate::policy::limit::gcra::Rate;

/// What a configuration declares of the directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Declared {
    /// By name.
    pub tenants: BTreeMap<Box<str>, TenantSpec>,
    /// By name.
    pub groups: BTreeMap<Box<str>, GroupSpec>,
    /// By name.
    pub plans: BTreeMap<Box<str>, PlanSpec>,
    /// By name.
    pub products: BTreeMap<Box<str>, ProductSpec>,
    /// By name.
    pub apps: BTreeMap<Box<str>, AppSpec>,
    /// By name.
    pub consumers: BTreeMap<Box<str>, ConsumerBody>,
    /// Keys of its consumers.
    pub keys: Vec<KeyObject>,
    /// Other credentials of its consumers.
    pub credentials: Vec<CredentialObject>,
}

/// A key of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyObject {
    /// SHA-256 of the key.
    pub hash: KeyHash,
    /// Whose, by name.
    pub consumer: Box<str>,
    /// The app that it belongs to, by name.
    pub app: Option<Box<str>>,
    /// Not valid from then on.
    pub expires: Expiry,
}

/// A credential of a consumer that is found by a name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CredentialObject {
    /// What it is.
    pub kind: CredentialKind,
    /// See `Credential::lookup`.
    pub lookup: Box<[u8]>,
    /// See `Credential::secret`.
    pub secret: Box<[u8]>,
    /// Whose, by name.
    pub consumer: Box<str>,
    /// The app that it belongs to, by name.
    pub app: Option<Box<str>>,
    /// Not valid from then on.
    pub expires: Expiry,
}

impl std::fmt::Debug for CredentialObject {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CredentialObject { kind, consumer, .. } = self;
        out.debug_struct("CredentialObject").field("kind", kind).field("consumer", consumer).finish_non_exhaustive()
    }
}

/// The first number of a credential that a configuration declares. The store gives those below.
pub(crate) const DECLARED_CREDENTIALS: u32 = 1 << 31;

/// Which numbers are given.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    consumers: u32,
    credentials: u32,
    tenants: Names,
    plans: Names,
    products: Names,
    apps: Names,
    profiles: BTreeSet<Arc<Profile>>,
    groups: BTreeSet<Arc<str>>,
}

/// The numbers of one kind of objects.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
}

impl Names {
    /// The number of that name, where it has one.
    fn known(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The number of that name; a new one where it has none.
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(name.into(), number);
        number
    }
}

impl Numbers {
    /// The app that has or had this name.
    pub(crate) fn app_named(&self, name: &str) -> Option<AppId> {
        self.apps.known(name).map(AppId)
    }

    /// A consumer's number: a new one.
    pub(crate) fn new_consumer(&mut self) -> ConsumerId {
        self.consumers += 1;
        ConsumerId(self.consumers - 1)
    }

    /// The number of a credential that a configuration declares: a new one.
    pub(crate) fn new_credential(&mut self) -> CredentialId {
        self.credentials += 1;
        CredentialId(DECLARED_CREDENTIALS + self.credentials - 1)
    }

    /// The number of an app.
    pub(crate) fn app(&mut self, name: &str) -> AppId {
        AppId(self.apps.number(name))
    }

    /// The number of a tenant, which need not exist.
    pub(crate) fn tenant(&mut self, name: &str) -> TenantId {
        TenantId(self.tenants.number(name))
    }

    /// The number of a plan, which need not exist.
    pub(crate) fn plan(&mut self, name: &str) -> PlanId {
        PlanId(self.plans.number(name))
    }

    /// The number of a product, which need not exist.
    pub(crate) fn product(&mut self, name: &str) -> ProductId {
        ProductId(self.products.number(name))
    }

    /// What a consumer is to shards.
    pub(crate) fn consumer(&mut self, number: ConsumerId, name: &str, body: &ConsumerBody) -> Consumer {
        let tenant = body.tenant.as_deref().map(|tenant| self.tenant(tenant));
        let groups: BTreeSet<&str> = body.groups.iter().map(String::as_str).collect();
        let groups = groups.into_iter().map(|group| self.group(group)).collect();
        let subscriptions = self.subscriptions(body.plan.as_deref(), &body.plans);
        let profile = self.profile(Profile { tenant, groups, subscriptions });
        let id = body.id.as_deref().unwrap_or_default().into();
        let own = Own { id, attributes: pairs(&body.attributes) };
        Consumer::new(number, name, standing(body.suspended), profile, own)
    }

    /// What an app is to shards.
    pub(crate) fn app_of(&mut self, name: &str, spec: &AppSpec, consumer: ConsumerId) -> App {
        App {
            number: self.app(name),
            standing: standing(spec.suspended),
            name: name.into(),
            consumer,
            subscriptions: self.subscriptions(spec.plan.as_deref(), &spec.plans),
            attributes: pairs(&spec.attributes),
        }
    }

    /// Puts a tenant into a catalogue.
    pub(crate) fn put_tenant(&mut self, catalogue: &mut Catalogue, name: &str, spec: &TenantSpec) {
        let tenant = Tenant {
            number: self.tenant(name),
            name: name.into(),
            standing: standing(spec.suspended),
            subscriptions: self.subscriptions(spec.plan.as_deref(), &spec.plans),
            attributes: pairs(&spec.attributes),
        };
        let at = tenant.number.0;
        put(&mut catalogue.tenants, at, Some(tenant));
    }

    /// Puts a product into a catalogue.
    pub(crate) fn put_product(&mut self, catalogue: &mut Catalogue, name: &str, spec: &ProductSpec) {
        let product = Product { number: self.product(name), name: name.into(), routes: sorted(&spec.routes) };
        let at = product.number.0;
        put(&mut catalogue.products, at, Some(product));
    }

    /// Puts a plan into a catalogue.
    pub(crate) fn put_plan(&mut self, catalogue: &mut Catalogue, name: &str, spec: &PlanSpec) {
        let plan = Plan {
            number: self.plan(name),
            name: name.into(),
            products: spec.products.iter().map(|product| self.product(product)).collect(),
            routes: sorted(&spec.routes),
            methods: sorted(&spec.methods),
            paths: sorted(&spec.paths),
            windows: allowances(&spec.limits).iter().filter_map(|allowance| allowance.window(name)).collect(),
            at_once: spec.concurrency.and_then(|most| Rate::in_flight(1)?.with_slots(most)),
            models: sorted(&spec.models),
            tokens: allowances(&spec.tokens),
            priority: spec.priority,
        };
        let at = plan.number.0;
        put(&mut catalogue.plans, at, Some(plan));
    }

    /// Forgets what no consumer has any more.
    pub(crate) fn prune(&mut self) {
        self.profiles.retain(|profile| Arc::strong_count(profile) > 1);
        self.groups.retain(|group| Arc::strong_count(group) > 1);
    }

    fn subscriptions(&mut self, plan: Option<&str>, plans: &BTreeMap<String, String>) -> Box<[Subscription]> {
        let mut subscriptions = Vec::with_capacity(plans.len() + usize::from(plan.is_some()));
        for (product, plan) in plans {
            subscriptions.push(Subscription { product: Some(self.product(product)), plan: self.plan(plan) });
        }
        subscriptions.extend(plan.map(|plan| Subscription { product: None, plan: self.plan(plan) }));
        subscriptions.into()
    }

    fn group(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.groups.get(name) {
            return Arc::clone(known);
        }
        let group: Arc<str> = name.into();
        self.groups.insert(Arc::clone(&group));
        group
    }

    fn profile(&mut self, profile: Profile) -> Arc<Profile> {
        if let Some(known) = self.profiles.get(&profile) {
            return Arc::clone(known);
        }
        let profile = Arc::new(profile);
        self.profiles.insert(Arc::clone(&profile));
        profile
    }
}

/// A snapshot while it is put together. Of two objects with one name the first counts, so the configuration comes
/// first.
pub(crate) struct Assembly<'a> {
    numbers: &'a mut Numbers,
    /// The directory before: its consumers keep their numbers.
    before: Option<&'a Directory>,
    parts: Parts,
    catalogue: Catalogue,
    consumers: AHashMap<Box<str>, ConsumerId>,
    apps: AHashMap<Box<str>, AppId>,
}

impl<'a> Assembly<'a> {
    /// Without anything.
    pub(crate) fn new(numbers: &'a mut Numbers, before: Option<&'a Directory>) -> Assembly<'a> {
        let (parts, catalogue) = (Parts::default(), Catalogue::default());
        Assembly { numbers, before, parts, catalogue, consumers: AHashMap::new(), apps: AHashMap::new() }
    }

    /// All that a configuration declares.
    pub(crate) fn declared(&mut self, declared: &Declared) {
        declared.tenants.iter().for_each(|(name, spec)| self.tenant(name, spec));
        declared.products.iter().for_each(|(name, spec)| self.product(name, spec));
        declared.plans.iter().for_each(|(name, spec)| self.plan(name, spec));
        declared.consumers.iter().for_each(|(name, body)| self.consumer(name, body));
        declared.apps.iter().for_each(|(name, spec)| self.app(name, spec));
        for key in &declared.keys {
            let number = self.numbers.new_credential();
            self.key(key, number);
        }
        for credential in &declared.credentials {
            let number = self.numbers.new_credential();
            self.credential(credential, number);
        }
    }

    /// A tenant.
    pub(crate) fn tenant(&mut self, name: &str, spec: &TenantSpec) {
        let number = self.numbers.tenant(name);
        if self.catalogue.tenant(number).is_none() {
            self.numbers.put_tenant(&mut self.catalogue, name, spec);
        }
    }

    /// A product.
    pub(crate) fn product(&mut self, name: &str, spec: &ProductSpec) {
        let number = self.numbers.product(name);
        if self.catalogue.product(number).is_none() {
            self.numbers.put_product(&mut self.catalogue, name, spec);
        }
    }

    /// A plan.
    pub(crate) fn plan(&mut self, name: &str, spec: &PlanSpec) {
        let number = self.numbers.plan(name);
        if self.catalogue.plan(number).is_none() {
            self.numbers.put_plan(&mut self.catalogue, name, spec);
        }
    }

    /// A consumer.
    pub(crate) fn consumer(&mut self, name: &str, body: &ConsumerBody) {
        if self.consumers.contains_key(name) {
            return;
        }
        let known = self.before.and_then(|before| before.by_name(name)).map(|consumer| consumer.number);
        let number = known.unwrap_or_else(|| self.numbers.new_consumer());
        self.consumers.insert(name.into(), number);
        self.parts.consumers.push(self.numbers.consumer(number, name, body));
    }

    /// An app. It is left out where its consumer is not known.
    pub(crate) fn app(&mut self, name: &str, spec: &AppSpec) {
        if self.apps.contains_key(name) {
            return;
        }
        let Some(consumer) = self.consumers.get(&*spec.consumer).copied() else { return };
        let app = self.numbers.app_of(name, spec, consumer);
        self.apps.insert(name.into(), app.number);
        self.parts.apps.push(Arc::new(app));
    }

    /// A key. It is left out where its consumer or app is not known.
    pub(crate) fn key(&mut self, key: &KeyObject, number: CredentialId) {
        let Some(owner) = self.owner(&key.consumer, key.app.as_deref()) else { return };
        self.parts.keys.push(KeyEntry::new(key.hash, owner, number, key.expires));
    }

    /// Another credential. It is left out where its consumer or app is not known.
    pub(crate) fn credential(&mut self, object: &CredentialObject, number: CredentialId) {
        let Some(owner) = self.owner(&object.consumer, object.app.as_deref()) else { return };
        self.parts.credentials.push(Arc::new(credential(object, owner, number)));
    }

    fn owner(&self, consumer: &str, app: Option<&str>) -> Option<(ConsumerId, Option<AppId>)> {
        let consumer = self.consumers.get(consumer)?;
        let app = match app {
            Some(app) => Some(*self.apps.get(app)?),
            None => None,
        };
        Some((*consumer, app))
    }

    /// The snapshot.
    pub(crate) fn finish(mut self, revision: Revision) -> Snapshot {
        self.parts.catalogue = Arc::new(self.catalogue);
        Snapshot::new(revision, self.parts)
    }
}

/// What a credential is to shards.
pub(crate) fn credential(
    object: &CredentialObject,
    (consumer, app): (ConsumerId, Option<AppId>),
    number: CredentialId,
) -> Credential {
    let CredentialObject { kind, lookup, secret, expires, .. } = object;
    Credential { number, kind: *kind, lookup: lookup.clone(), secret: secret.clone(), consumer, app, expires: *expires }
}

/// What is wrong with the name of an object; continues "the name of a plan …".
pub(crate) fn fault_of_name(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        return Some(format!("has 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`"));
    }
    None
}

/// What is wrong with a plan, one sentence each.
pub(crate) fn faults_of_plan(plan: &PlanSpec) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, list) in [("limits", &plan.limits), ("tokens", &plan.tokens)] {
        if list.len() > ALLOWANCES_MAX {
            faults.push(format!("`{what}` has {ALLOWANCES_MAX} entries at most"));
        }
        if list.iter().any(|allowance| allowance.count == 0) {
            faults.push(format!("`{what}`: `count` is at least 1"));
        }
        let periods: HashSet<Period> = list.iter().map(|allowance| allowance.per.0).collect();
        if periods.len() < list.len() {
            faults.push(format!("`{what}` has one entry for each `per`"));
        }
        if periods.iter().any(|period| matches!(period, Period::Rolling(span) if *span > ROLLING_MAX)) {
            faults.push(format!("`{what}`: `per` is 366 days at most"));
        }
    }
    if plan.limits.iter().any(|allowance| allowance.count > u64::from(u32::MAX)) {
        faults.push(format!("`limits`: `count` is {} at most", u32::MAX));
    }
    if plan.concurrency == Some(0) {
        faults.push("`concurrency` is at least 1".to_owned());
    }
    if plan.priority > PRIORITY_MAX {
        faults.push(format!("`priority` is 0 to {PRIORITY_MAX}"));
    }
    if plan.methods.iter().any(|method| !is_token(method)) {
        faults.push("`methods` are such as `GET`".to_owned());
    }
    if plan.paths.iter().any(|path| !path.starts_with('/')) {
        faults.push("`paths` begin with `/`".to_owned());
    }
    faults
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte))
}

/// Longest name of an object, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Most limits of a plan: a request is counted by each.
const ALLOWANCES_MAX: usize = 8;
/// The longest span that a limit counts in.
const ROLLING_MAX: Duration = Duration::from_secs(366 * 86_400);
/// The best priority.
const PRIORITY_MAX: u8 = 9;

/// Puts something into its place, or nothing.
pub(crate) fn put<T>(places: &mut Vec<Option<Arc<T>>>, at: u32, item: Option<T>) {
    let at = at as usize;
    if places.len() <= at {
        places.resize_with(at + 1, || None);
    }
    places[at] = item.map(Arc::new);
}

// tidy(bool): it is the value in the file.
fn standing(suspended: bool) -> Standing {
    if suspended { Standing::Suspended } else { Standing::Active }
}

fn pairs(attributes: &BTreeMap<String, String>) -> Box<[(Box<str>, Box<str>)]> {
    attributes.iter().map(|(name, value)| (Box::from(name.as_str()), Box::from(value.as_str()))).collect()
}

fn sorted(names: &[String]) -> Box<[Box<str>]> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    names.into_iter().map(Box::from).collect()
}

fn allowances(specs: &[AllowanceSpec]) -> Box<[Allowance]> {
    specs.iter().map(|spec| Allowance { count: spec.count, per: spec.per.0 }).collect()
}
